// The products of int4 weights, by every kernel that takes the number of
// tokens: the exact ones with two digits and with one, and the default mode's
// for some tokens and for long prompts; beside cuBLAS in f16. Making digits is
// not in an exact product's time (rows.cc has it), making f16 activations is in
// the default mode's; where the two are compared, digits are added.

#include <algorithm>

#include "tests/kernels/cuda/bench/groups.h"
#include "tests/kernels/cuda/bench/linears.h"
#include "tests/kernels/cuda/bench/report.h"

namespace quatrain::bench {
namespace {

constexpr float kEps = 1e-5f;
constexpr int kMostCompared = 64;  // tokens whose outputs are looked at

struct Kernel {
  int kernel;  // QuatrainProductKernel
  const char* name;
  int most_tokens;
};
constexpr Kernel kKernels[] = {
    {kQuatrainFewRows, "few", 16},
    {kQuatrainMediumRows, "medium", 1 << 30},
};

// What is wanted of the fastest kernel, up to 16 tokens an exact one: a share
// of the floor.
struct Target {
  const char* model;
  int tokens;
  double of_floor;
};
constexpr Target kTargets[] = {
    {"7B", 1, 0.80}, {"70B", 1, 0.88}, {"7B", 64, 0.70}, {"70B", 64, 0.70}};
// Of the default mode's fastest, beside cuBLAS.
double WantedOfCublas(int tokens) { return tokens <= 128 ? 1.0 : 0.95; }
// Where the default mode's products are tried.
constexpr int kLeastHalf = 17, kMostHalf = 256, kLeastDequant = 64;

// cuBLAS's times for one linear, in microseconds, one per count of tokens.
std::vector<double> TimeCublas(Bench& bench, Cublas* cublas,
                               const LinearShape& shape,
                               const std::vector<int>& tokens) {
  if (cublas == nullptr) return std::vector<double>(tokens.size());
  const size_t size = static_cast<size_t>(shape.rows) * shape.cols;
  const size_t most = tokens.back();
  const auto x = RandomF16(most * shape.cols, 1.0f, 11, bench.stream());
  const DeviceArray<uint16_t> y(most * shape.rows);
  std::vector<DeviceArray<uint16_t>> w;
  const int copies = bench.NumCopies(2.0 * size);
  for (int i = 0; i < copies; ++i)
    w.push_back(RandomF16(size, 0.05f, 20 + i, bench.stream()));
  std::vector<double> us;
  for (const int t : tokens) {
    const Launch launch = [&](int i) {
      cublas->Gemm(t, shape.rows, shape.cols, x.data(), w[i % copies].data(),
                   y.data());
    };
    us.push_back(bench.Measure(launch, copies).median);
  }
  return us;
}

// One linear and everything that its products need.
class Int4Linear {
 public:
  Int4Linear(Bench& bench, const LinearShape& shape, int most_tokens,
             int num_digits)
      : bench_(bench),
        shape_(shape),
        num_digits_(num_digits),
        most_tokens_(most_tokens),
        weights_(shape, bench.NumCopies(Int4Bytes(shape)), bench.stream()),
        x_(RandomF32(static_cast<size_t>(most_tokens) * shape.cols, 1.0f, 7,
                     bench.stream())),
        digits_(weights_.view(0), most_tokens, num_digits),
        out_(shape.out_bytes() * most_tokens * shape.stride()),
        norm_(RandomF32(shape.cols, 1.0f, 8, bench.stream())),
        marks_(most_tokens),
        scratch_(ProductScratch(num_digits)) {
    MakeDigits(most_tokens, nullptr);
    bench.Synchronize();
  }

  // A row per kernel; the fastest has the targets.
  void Run(int tokens, double cublas_us) {
    Compare(tokens);
    std::vector<Row> rows;
    for (const Kernel& kernel : kKernels)
      if (tokens <= kernel.most_tokens)
        rows.push_back(Time(kernel, tokens, cublas_us));
    if (num_digits_ == 2) AddRounded(tokens, cublas_us, rows);
    const bool only_exact = std::all_of(
        rows.begin(), rows.end(), [](const Row& row) { return row.exact; });
    if (!only_exact) AddDigits(tokens, rows);
    SetTargets(rows);
    for (Row& row : rows) bench_.Add(std::move(row));
  }

  // What begins with f32 activations, norm included where a layer has one: in
  // one kernel, and in two. Nothing where the digits do not fit into one.
  void RunFused(int tokens, double cublas_us) {
    const QuatrainInt4 linear = weights_.view(0);
    if (Cuda().fused_product_fits(tokens, linear.num_pairs, linear.num_blocks,
                                  num_digits_) == 0)
      return;
    const float* norm =
        shape_.output == kQuatrainPartial ? nullptr : norm_.data();
    Row row = MakeRow("fused", tokens, cublas_us);
    row.group += " with digits";
    row.work.bytes += 4.0 * tokens * shape_.cols - digits_.bytes(tokens);
    row.times = bench_.Measure([&](int i) { Fused(tokens, norm, i); },
                               weights_.num_copies());
    bench_.Add(row);
    row.kernel = "digits, few";
    row.times = bench_.Measure(
        [&](int i) {
          MakeDigits(tokens, norm);
          Multiply(kQuatrainFewRows, tokens, i);
        },
        weights_.num_copies());
    bench_.Add(row);
    MakeDigits(most_tokens_, nullptr);  // as the other rows want them
  }

 private:
  // The default mode's products of so many tokens.
  void AddRounded(int tokens, double cublas_us, std::vector<Row>& rows) {
    const bool smoke = bench_.options().smoke;
    const QuatrainInt4 linear = weights_.view(0);
    if (tokens >= (smoke ? 1 : kLeastHalf) && tokens <= kMostHalf)
      AddRounded("half", Cuda().half_product,
                 Cuda().half_scratch_bytes(tokens, linear.num_pairs,
                                           linear.num_blocks),
                 tokens, cublas_us, rows);
    if (tokens >= (smoke ? 1 : kLeastDequant))
      AddRounded(
          "dequant", Cuda().dequant_product,
          Cuda().dequant_scratch_bytes(tokens, linear.rows, linear.num_pairs),
          tokens, cublas_us, rows);
  }

  // One of them; nothing where the library that it needs is not installed.
  void AddRounded(const char* name, decltype(QuatrainCudaV1::half_product) run,
                  int64_t scratch_bytes, int tokens, double cublas_us,
                  std::vector<Row>& rows) {
    const DeviceArray<unsigned char> scratch(scratch_bytes);
    int error = kQuatrainOk;
    const auto launch = [&](int i) {
      const QuatrainDequantProduct op{
          weights_.view(i), x_.data(),    shape_.cols,     nullptr,
          nullptr,          0.0f,         tokens,          shape_.output,
          nullptr,          out_.data(),  shape_.stride(), marks_.data(),
          scratch.data(),   scratch_bytes};
      error = run(&op, bench_.stream());
      if (error != kQuatrainNotSupported) CudaOk(error, name);
    };
    launch(0);
    if (error == kQuatrainNotSupported) {
      std::printf("| %s is not measured: %s\n", name, Cuda().message());
      return;
    }
    Row row{"int4",
            name,
            shape_.Describe(),
            tokens,
            {weights_.weight_bytes() + 4.0 * tokens * shape_.cols +
                 OutputBytes(tokens),
             2.0 * tokens * shape_.rows * shape_.cols, Unit::kTensorF16}};
    row.exact = false;
    row.task = "product";
    row.cublas_us = cublas_us;
    row.times = bench_.Measure(launch, weights_.num_copies());
    rows.push_back(std::move(row));
  }

  QuatrainProduct Product(int kernel, int tokens, int copy) const {
    return {weights_.view(copy), digits_.view(), tokens,
            shape_.output,       nullptr,        out_.data(),
            shape_.stride(),     marks_.data(),  kernel,
            scratch_.data()};
  }

  double OutputBytes(int tokens) const {
    return static_cast<double>(tokens) * shape_.width() * shape_.out_bytes();
  }

  Row MakeRow(const char* kernel, int tokens, double cublas_us) const {
    Row row{
        num_digits_ == 2 ? "int4" : "int4 int8",
        kernel,
        shape_.Describe(),
        tokens,
        {weights_.weight_bytes() + digits_.bytes(tokens) + OutputBytes(tokens),
         2.0 * num_digits_ * tokens * shape_.rows * shape_.cols,
         Unit::kTensorInt8}};
    row.task = "product";
    row.cublas_us = cublas_us;
    return row;
  }

  Row Time(const Kernel& kernel, int tokens, double cublas_us) {
    Row row = MakeRow(kernel.name, tokens, cublas_us);
    row.times =
        bench_.Measure([&](int i) { Multiply(kernel.kernel, tokens, i); },
                       weights_.num_copies());
    return row;
  }

  void MakeDigits(int tokens, const float* norm) {
    const QuatrainMakeDigits op{x_.data(), shape_.cols,    nullptr,
                                norm,      kEps,           weights_.view(0),
                                tokens,    digits_.view(), marks_.data()};
    CudaOk(Cuda().digits(&op, bench_.stream()), "digits");
  }

  void Multiply(int kernel, int tokens, int copy) {
    const QuatrainProduct op = Product(kernel, tokens, copy);
    CudaOk(Cuda().product(&op, bench_.stream()), "product");
  }

  void Fused(int tokens, const float* norm, int copy) {
    const QuatrainFusedProduct op{
        x_.data(), shape_.cols, nullptr,
        norm,      kEps,        Product(kQuatrainFewRows, tokens, copy)};
    CudaOk(Cuda().fused_product(&op, bench_.stream()), "fused_product");
  }

  // What the exact kernels need before them.
  void AddDigits(int tokens, std::vector<Row>& rows) {
    const double us =
        bench_.Measure([&](int) { MakeDigits(tokens, nullptr); }, 1).median;
    for (Row& row : rows)
      if (row.exact) row.before_us = us;
    MakeDigits(most_tokens_, nullptr);  // as the other rows want them
  }

  void SetTargets(std::vector<Row>& rows) const {
    if (num_digits_ != 2) return;
    Row* best = &rows[0];
    for (Row& row : rows)
      if (row.whole_us() < best->whole_us()) best = &row;
    best->wanted_cublas = WantedOfCublas(best->tokens);
    for (const Target& target : kTargets)
      if (best->tokens == target.tokens &&
          std::string(shape_.model) == target.model)
        best->wanted_floor = target.of_floor;
  }

  // All kernels give the same bits, whatever was in the output before: else
  // they were not all written, or one kernel is wrong.
  void Compare(int tokens) {
    if (tokens > kMostCompared) return;
    const std::vector<unsigned char> expected = Outputs(
        tokens, 0xaa, [&] { Multiply(kQuatrainMediumRows, tokens, 0); });
    const auto compare = [&](const char* name, const auto& multiply) {
      if (Outputs(tokens, 0x55, multiply) != expected)
        bench_.Wrong(shape_.Describe() + ", M " + std::to_string(tokens) +
                     ": the kernel '" + name +
                     "' and the one for medium rows differ");
    };
    for (const Kernel& kernel : kKernels)
      if (tokens <= kernel.most_tokens)
        compare(kernel.name, [&] { Multiply(kernel.kernel, tokens, 0); });
    const QuatrainInt4 linear = weights_.view(0);
    if (Cuda().fused_product_fits(tokens, linear.num_pairs, linear.num_blocks,
                                  num_digits_) != 0)
      compare("fused", [&] { Fused(tokens, nullptr, 0); });
  }

  template <typename F>
  std::vector<unsigned char> Outputs(int tokens, int poison,
                                     const F& multiply) {
    const size_t pitch = shape_.stride() * shape_.out_bytes();
    CudaOk(Cuda().fill(out_.data(), poison, tokens * pitch, bench_.stream()),
           "fill");
    multiply();
    if (shape_.output == kQuatrainPartial) {
      const QuatrainStoreMarks store{marks_.data(),
                                     reinterpret_cast<int64_t*>(out_.data()),
                                     shape_.stride(), tokens};
      CudaOk(Cuda().store_marks(&store, bench_.stream()), "store_marks");
    }
    std::vector<unsigned char> outputs(tokens * pitch);
    CudaOk(Cuda().copy(outputs.data(), out_.data(), outputs.size(),
                       bench_.stream()),
           "copy");
    bench_.Synchronize();
    return outputs;
  }

  Bench& bench_;
  LinearShape shape_;
  int num_digits_;
  int most_tokens_;
  Int4Copies weights_;
  DeviceArray<float> x_;
  Digits digits_;
  DeviceArray<unsigned char> out_;
  DeviceArray<float> norm_;
  DeviceArray<int32_t> marks_;
  DeviceArray<unsigned char> scratch_;  // of products
};

}  // namespace

void BenchInt4(Bench& bench, Cublas* cublas) {
  const std::vector<int> tokens =
      bench.Pick({1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096},
                 {1, 16, 64, 4096}, {1, 3, 17});
  const std::vector<int> digits = bench.Pick({2, 1}, {2}, {2, 1});
  for (const auto& model : ModelShapes(bench.options().smoke))
    for (const LinearShape& shape : model) {
      const std::vector<double> cublas_us =
          TimeCublas(bench, cublas, shape, tokens);
      for (const int num_digits : digits) {
        Int4Linear linear(bench, shape, tokens.back(), num_digits);
        PrintHead(shape.Describe() +
                  (num_digits == 2 ? ", exact" : ", one digit (int8)"));
        for (size_t i = 0; i < tokens.size(); ++i) {
          linear.Run(tokens[i], cublas_us[i]);
          linear.RunFused(tokens[i], cublas_us[i]);
        }
      }
    }
}

}  // namespace quatrain::bench
