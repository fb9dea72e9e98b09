#include <cmath>

#include "kernels/math.h"
#include "tests/kernels/cuda/compare.h"
#include "tests/kernels/cuda/linear_case.h"

// The product of the default mode: f16 operands, f32 sums in a library's order.
// Each output is compared with the exact value in f64, within what the
// roundings allow.
namespace quatrain {
namespace {

struct Case {
  int tokens, cols, rows;
  int group = 128, head = 128;
  int output = kQuatrainStore;
  QuatrainDType scales = kQuatrainF16;
  bool norm = false;
  float x_scale = 1.0f;
};

// One output: its exact value, and how far a result may be from it.
struct Bounded {
  double value = 0.0, error = 0.0;
};

struct Setup {
  Case c;
  std::vector<HostInt4> parts;
  std::vector<float> x, weight, bias;

  explicit Setup(const Case& of) : c(of) {
    Random random(11);
    const int num_parts = c.output == kQuatrainGated ? 2 : 1;
    for (int p = 0; p < num_parts; ++p)
      parts.emplace_back(c.rows / num_parts, c.cols,
                         BlockEnds(c.cols, c.group, c.head), c.scales, 0.01f,
                         random);
    for (int i = 0; i < c.tokens * c.cols; ++i)
      x.push_back(random.Bell() * c.x_scale);
    x[c.cols / 2] *= 300.0f;
    for (int k = 0; c.norm && k < c.cols; ++k)
      weight.push_back(random.Uniform(0.5f, 1.5f));
    for (int n = 0; c.output == kQuatrainStore && n < c.rows; ++n)
      bias.push_back(random.Bell());
  }

  std::vector<float> Row(int t) const {
    std::vector<float> row(x.begin() + t * c.cols,
                           x.begin() + (t + 1) * c.cols);
    if (!c.norm) return row;
    std::vector<float> normed(row.size());
    ReferenceRmsNorm(row, {weight, 1e-5f}, normed);
    return normed;
  }

  // y of one output. Unit roundoff of the operands' type, twice (weight and
  // activation), and of f32 for every addition; subnormals of f16, 2^-25 of a
  // row scaled to 2^14, are far below.
  Bounded Output(const std::vector<float>& row, const HostInt4& part,
                 int n) const {
    const double unit = c.scales == kQuatrainBF16 ? 0x1p-8 : 0x1p-11;
    const double relative = 2 * unit + unit * unit + c.cols * 0x1p-24;
    Bounded y;
    size_t b = 0;
    double largest = 0.0;
    for (const float value : row)
      largest = std::max(largest, std::fabs(double{value}));
    for (int k = 0; k < c.cols; ++k) {
      if (k >= part.ends[b]) ++b;
      const size_t at = n * part.ends.size() + b;
      const double w =
          (part.q[size_t(n) * c.cols + k] - part.z[at]) * double{part.s[at]};
      y.value += w * row[k];
      y.error +=
          std::fabs(w) * (std::fabs(row[k]) * relative + largest * 0x1p-38);
    }
    return y;
  }

  std::vector<Bounded> Expected(int t) const {
    const std::vector<float> row = Row(t);
    std::vector<Bounded> out;
    for (const HostInt4& part : parts)
      for (int n = 0; n < part.rows; ++n) out.push_back(Output(row, part, n));
    for (size_t n = 0; n < bias.size(); ++n) {
      out[n].value += bias[n];
      out[n].error += std::fabs(out[n].value) * 0x1p-23;
    }
    return c.output == kQuatrainGated ? Gated(out) : out;
  }

  // The slope of silu is at most 1.1.
  static std::vector<Bounded> Gated(const std::vector<Bounded>& out) {
    const size_t half = out.size() / 2;
    std::vector<Bounded> gated(half);
    for (size_t i = 0; i < half; ++i) {
      const Bounded &g = out[i], &u = out[half + i];
      const double silu = g.value / (1.0 + std::exp(-g.value));
      gated[i].value = silu * u.value;
      gated[i].error = 1.1 * g.error * (std::fabs(u.value) + u.error) +
                       std::fabs(silu) * u.error +
                       std::fabs(gated[i].value) * 0x1p-20;
    }
    return gated;
  }
};

// Whether there is no library; the case then says that it skips.
bool HasNoLibrary(int error) {
  if (error != kQuatrainNotSupported) return false;
  runner::Skipped() = Cuda().message();
  return true;
}

// Outputs as f64, [tokens][width]; the marks to `marks`. Nothing where there is
// no library.
std::vector<double> Run(const Setup& setup, std::vector<int32_t>& host_marks) {
  const Case& c = setup.c;
  DeviceInt4 linear(c.rows, c.cols, setup.parts[0].ends, c.scales);
  for (size_t p = 0; p < setup.parts.size(); ++p)
    linear.Pack(setup.parts[p],
                setup.parts.size() == 2 ? static_cast<int>(p) + 1 : 0);
  const int width = c.output == kQuatrainGated ? c.rows / 2 : c.rows;
  const bool partial = c.output == kQuatrainPartial;
  const size_t size = static_cast<size_t>(c.tokens) * width;
  const DeviceArray<float> x(setup.x), weight(setup.weight), bias(setup.bias);
  const DeviceArray<int64_t> sums(partial ? size : 0);
  const DeviceArray<float> out(partial ? 0 : size);
  const DeviceArray<int32_t> marks(c.tokens);
  const int64_t bytes =
      Cuda().dequant_scratch_bytes(c.tokens, c.rows, linear.view().num_pairs);
  const DeviceArray<unsigned char> scratch(bytes);
  const QuatrainDequantProduct op{
      linear.view(),
      x.data(),
      c.cols,
      nullptr,
      c.norm ? weight.data() : nullptr,
      1e-5f,
      c.tokens,
      c.output,
      setup.bias.empty() ? nullptr : bias.data(),
      partial ? static_cast<void*>(sums.data()) : out.data(),
      width,
      marks.data(),
      scratch.data(),
      bytes};
  const int error = Cuda().dequant_product(&op, nullptr);
  if (HasNoLibrary(error)) return {};
  CudaOk(error, "dequant_product");
  std::vector<double> result;
  for (const int64_t sum : sums.Download())
    result.push_back(static_cast<double>(sum) * 0x1p-28);
  for (const float value : out.Download()) result.push_back(value);
  host_marks = marks.Download();
  return result;
}

void Check(const Case& c) {
  const Setup setup(c);
  std::vector<int32_t> marks;
  const std::vector<double> actual = Run(setup, marks);
  if (!runner::Skipped().empty()) return;
  const int width = c.output == kQuatrainGated ? c.rows / 2 : c.rows;
  EXPECT_EQ(actual.size(), static_cast<size_t>(c.tokens) * width);
  int wrong = 0;
  double worst = 0.0;
  for (int t = 0; t < c.tokens; ++t) {
    const std::vector<Bounded> expected = setup.Expected(t);
    EXPECT_EQ(marks[t], 0);
    for (int n = 0; n < width; ++n) {
      const double error = std::fabs(actual[t * width + n] - expected[n].value);
      if (!(error <= expected[n].error)) ++wrong;  // a NaN is wrong
      worst = std::max(worst, error / expected[n].error);
    }
  }
  EXPECT_TEXT(wrong == 0, std::to_string(wrong) + " of K " +
                              std::to_string(c.cols) + " N " +
                              std::to_string(c.rows) + ", worst " +
                              std::to_string(worst) + " of the bound");
}

SIMT_TEST(EveryOutputAndScale) {
  for (const QuatrainDType scales : {kQuatrainF16, kQuatrainBF16, kQuatrainF32})
    for (const int output : {kQuatrainStore, kQuatrainGated, kQuatrainPartial})
      Check({5, 384, output == kQuatrainGated ? 44 : 37, 128, 128, output,
             scales});
}

SIMT_TEST(RaggedBlocks) {
  Check({1, 1, 1});
  Check({2, 96, 17});
  Check({3, 257, 33});
  Check({3, 480, 20, 48});
  Check({3, 432, 21, 32, 72});
}

// K, groups and a rank's part of 7B, 34B and 70B models; N is whole on a GPU.
SIMT_TEST(RealLayers) {
  struct Layer {
    int cols, group, rows;
  };
  for (const Layer& layer : {Layer{4096, 128, 4096},
                             {11008, 128, 37},
                             {1408, 128, 4096},
                             {896, 64, 7168},
                             {3584, 128, 8192},
                             {8192, 128, 1280}})
    Check({3, layer.cols, Cuda().is_emulation != 0 ? 37 : layer.rows,
           layer.group});
}

SIMT_TEST(NormAndRowsOfEverySize) {
  for (const float scale : {1e-30f, 1e-4f, 1.0f, 1e4f}) {
    Case c{4, 300, 21};
    c.x_scale = scale;
    Check(c);
    c.norm = scale > 1e-10f;
    Check(c);
  }
}

SIMT_TEST(MarksRows) {
  Case c{4, 256, 20};
  Setup setup(c);
  setup.x[1 * 256 + 7] = INFINITY;
  setup.x[2 * 256 + 255] = NAN;
  std::vector<int32_t> marks;
  Run(setup, marks);
  if (!runner::Skipped().empty()) return;
  EXPECT_SAME(marks, (std::vector<int32_t>{0, 1, 1, 0}), "not finite");
  c.output = kQuatrainPartial;
  c.x_scale = 1e9f;
  Run(Setup(c), marks);
  EXPECT_SAME(marks, (std::vector<int32_t>{1, 1, 1, 1}), "too large");
}

// What f16 can tell apart on both sides of 2^23: from there on a row is marked.
SIMT_TEST(SumsAtTheLimit) {
  Setup setup({4, 1, 1, 128, 128, kQuatrainPartial});
  setup.parts[0].q = {8};
  setup.parts[0].z = {7};
  setup.parts[0].s = {1.0f};
  setup.x = {0x1p22f, 0x1p23f, -0x1p23f, 0x1p23f - 0x1p12f};
  std::vector<int32_t> marks;
  Run(setup, marks);
  if (!runner::Skipped().empty()) return;
  EXPECT_SAME(marks, (std::vector<int32_t>{0, 1, 1, 0}), "at 2^23");
}

SIMT_TEST(ChunksOfALargeLinear) {
  // More than one chunk of 48 MiB.
  Check({2, 4096, 6240});
}

// x and weights in f16, a scale per token, y in f32, each rounded up to 256
// bytes, and what the library may use.
SIMT_TEST(ScratchIsAPureFunction) {
  constexpr int64_t kLibrary = int64_t{32} << 20;
  const auto scratch = Cuda().dequant_scratch_bytes;
  EXPECT_EQ(scratch(2, 16, 1), 256 + 256 + 16 * 128 + 256 + kLibrary);
  EXPECT_EQ(scratch(3, 17, 2), 768 + 256 + 32 * 256 + 512 + kLibrary);
  EXPECT_EQ(scratch(0, 16, 1), 16 * 128 + kLibrary);
  // 4,096 tokens: 66 tiles of 16 outputs are a wave of the library's. K 4096:
  // two waves; K 28672: as many as 48 MiB hold.
  EXPECT_EQ(scratch(4096, 11008, 64),
            4096 * (8192 + 4) + 132 * 16 * (8192 + 4 * 4096) + kLibrary);
  EXPECT_EQ(scratch(4096, 8192, 448),
            4096 * (57344 + 4) + 54 * 16 * (57344 + 4 * 4096) + kLibrary);
}

SIMT_TEST(NothingToDo) {
  QuatrainDequantProduct op = {};
  op.linear.rows = 16;
  EXPECT_EQ(Cuda().dequant_product(&op, nullptr), int{kQuatrainOk});
  op.linear.rows = 0;
  op.num_tokens = 1;
  EXPECT_EQ(Cuda().dequant_product(&op, nullptr), int{kQuatrainOk});
}

SIMT_TEST(TooLittleScratchIsRefused) {
  QuatrainDequantProduct op = {};
  op.num_tokens = 1;
  op.linear.rows = op.linear.cols = 16;
  op.linear.num_blocks = op.linear.num_pairs = 1;
  op.scratch_bytes = 100;
  EXPECT_EQ(Cuda().dequant_product(&op, nullptr),
            static_cast<int>(kQuatrainBadArgument));
  op.linear.num_blocks = 0;
  EXPECT_EQ(Cuda().dequant_product(&op, nullptr),
            static_cast<int>(kQuatrainBadArgument));
}

}  // namespace
}  // namespace quatrain
