// Operations on whole rows: norm, digits, the sum over the group, the gate, the
// embedding, marks. What they read was just written, so it lies in the L2 at
// few rows, as in a step; their floors count it as read from memory.

#include "tests/kernels/cuda/bench/groups.h"
#include "tests/kernels/cuda/bench/linears.h"
#include "tests/kernels/cuda/bench/report.h"

namespace quatrain::bench {
namespace {

constexpr float kEps = 1e-5f;

class RowOperations {
 public:
  RowOperations(Bench& bench, int cols, int most_rows)
      : bench_(bench),
        cols_(cols),
        linear_({"", "", 16, cols, kQuatrainStore}, 1, bench.stream()),
        digits_(linear_.view(0), most_rows, 2),
        x_(RandomF32(static_cast<size_t>(most_rows) * 2 * cols, 1.0f, 51,
                     bench.stream())),
        weight_(RandomF32(cols, 1.0f, 52, bench.stream())),
        embedding_(RandomF16(static_cast<size_t>(kVocab) * cols, 0.05f, 53,
                             bench.stream())),
        out_(static_cast<size_t>(most_rows) * cols),
        partial_(
            DeviceArray<int64_t>(static_cast<size_t>(most_rows) * (cols + 1))
                .Cleared()),
        marks_(DeviceArray<int32_t>(most_rows).Cleared()),
        ids_(RandomIds(most_rows)) {
    CudaOk(Cuda().fill(out_.data(), 0, out_.bytes(), nullptr), "fill");
    DeviceArray<int>::Synchronize();
    FillPartial(most_rows);
  }

  void Run(int rows) {
    const double size = static_cast<double>(rows) * cols_;
    Time("rms_norm", rows, 8 * size, [&](int) {
      const QuatrainRmsNorm op{x_.data(), cols_, nullptr, weight_.data(),
                               kEps,      cols_, rows,    out_.data()};
      return Cuda().rms_norm(&op, bench_.stream());
    });
    for (const bool norm : {false, true})
      Time(norm ? "norm and digits" : "digits", rows,
           4 * size + digits_.bytes(rows), [&](int) {
             const QuatrainMakeDigits op{
                 x_.data(),    cols_,
                 nullptr,      norm ? weight_.data() : nullptr,
                 kEps,         linear_.view(0),
                 rows,         digits_.view(),
                 marks_.data()};
             return Cuda().digits(&op, bench_.stream());
           });
    Time("reduce_add", rows, 16 * size, [&](int) {
      const QuatrainReduceAdd op{partial_.data(), nullptr, cols_, rows,
                                 out_.data()};
      return Cuda().reduce_add(&op, bench_.stream());
    });
    Time("gate", rows, 12 * size, [&](int) {
      const QuatrainGate op{x_.data(), marks_.data(), cols_, rows, out_.data()};
      return Cuda().gate(&op, bench_.stream());
    });
    Time("embed f16", rows, 6 * size, [&](int) {
      const QuatrainEmbed op{
          embedding_.data(), kQuatrainF16, 0,          kVocab, cols_,
          ids_.data(),       rows,         out_.data()};
      return Cuda().embed(&op, bench_.stream());
    });
    Time("store_marks", rows, 12.0 * rows, [&](int) {
      const QuatrainStoreMarks op{marks_.data(), partial_.data(), cols_ + 1,
                                  rows};
      return Cuda().store_marks(&op, bench_.stream());
    });
  }

 private:
  static constexpr int kVocab = 4096;

  template <typename F>
  void Time(const char* name, int rows, double bytes, F enqueue) {
    Row row{"rows", name, "width " + std::to_string(cols_), rows, {bytes}};
    row.times = bench_.Measure([&](int i) { CudaOk(enqueue(i), name); }, 1);
    bench_.Add(std::move(row));
  }

  static DeviceArray<int32_t> RandomIds(int count) {
    std::vector<int32_t> ids(count);
    uint32_t state = 1;
    for (int32_t& id : ids) {
      state = state * 1664525u + 1013904223u;
      id = static_cast<int32_t>((state >> 8) % kVocab);
    }
    return DeviceArray<int32_t>(ids);
  }

  // Sums as products leave them, far from all zero.
  void FillPartial(int rows) {
    std::vector<int64_t> sums(cols_ + 1);
    uint64_t state = 1;
    for (int64_t& sum : sums) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      sum = static_cast<int64_t>(state) >> 32;
    }
    sums.back() = 0;
    for (int t = 0; t < rows; ++t)
      CudaOk(Cuda().copy(partial_.data() + t * sums.size(), sums.data(),
                         sums.size() * 8, nullptr),
             "copy");
    DeviceArray<int>::Synchronize();
  }

  Bench& bench_;
  int cols_;
  Int4Copies linear_;
  Digits digits_;
  DeviceArray<float> x_, weight_;
  DeviceArray<uint16_t> embedding_;
  DeviceArray<float> out_;
  DeviceArray<int64_t> partial_;
  DeviceArray<int32_t> marks_;
  DeviceArray<int32_t> ids_;
};

}  // namespace

void BenchRows(Bench& bench, Cublas*) {
  const std::vector<int> rows = bench.Pick({1, 8, 64, 4096}, {1, 64}, {1, 3});
  PrintHead("Rows: what they read lies in the L2 where it is small");
  for (const int cols :
       bench.Pick({4096, 8192, 28672}, {4096, 8192, 28672}, {160})) {
    RowOperations operations(bench, cols, rows.back());
    for (const int count : rows) operations.Run(count);
  }
}

}  // namespace quatrain::bench
