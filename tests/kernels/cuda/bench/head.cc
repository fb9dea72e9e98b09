// The dense head in f16, beside cuBLAS.

#include <algorithm>

#include "tests/kernels/cuda/bench/groups.h"
#include "tests/kernels/cuda/bench/linears.h"
#include "tests/kernels/cuda/bench/report.h"

namespace quatrain::bench {
namespace {

constexpr int kSlabRows = 2048;

class Head {
 public:
  Head(Bench& bench, Cublas* cublas, int rows, int cols, int most_tokens)
      : bench_(bench),
        cublas_(cublas),
        rows_(rows),
        cols_(cols),
        copies_(bench.NumCopies(2.0 * rows * cols)),
        layout_(LayOut(Blocks128(cols), nullptr)),
        table_(Table(Blocks128(cols))),
        x_(RandomF32(static_cast<size_t>(most_tokens) * cols, 1.0f, 31,
                     bench.stream())),
        x16_(RandomF16(static_cast<size_t>(most_tokens) * cols, 1.0f, 32,
                       bench.stream())),
        out_(static_cast<size_t>(most_tokens) * rows),
        marks_(DeviceArray<int32_t>(most_tokens).Cleared()) {
    DeviceArray<int>::Synchronize();
    for (int i = 0; i < copies_; ++i) Pack(40 + i);
  }

  void Run(int tokens) {
    Row row{"head",
            "dense f16",
            Describe(),
            tokens,
            {static_cast<double>(tiles_[0].bytes()) +
                 4.0 * tokens * (cols_ + rows_),
             2.0 * tokens * rows_ * cols_, Unit::kF32}};
    row.times = bench_.Measure(
        [&](int i) {
          const QuatrainDenseProduct op{
              View(i),        x_.data(), cols_,       nullptr, tokens,
              kQuatrainStore, nullptr,   out_.data(), rows_,   marks_.data()};
          CudaOk(Cuda().dense_product(&op, bench_.stream()), "dense_product");
        },
        copies_);
    if (cublas_ != nullptr) row.cublas_us = TimeCublas(tokens);
    bench_.Add(std::move(row));
  }

 private:
  std::string Describe() const {
    return "head " + std::to_string(rows_) + "x" + std::to_string(cols_);
  }

  static QuatrainLayout LayOut(const std::vector<int32_t>& ends, void* table) {
    const QuatrainBlocks blocks{ends.data(), static_cast<int>(ends.size())};
    QuatrainLayout layout;
    CudaOk(Cuda().block_table(&blocks, 0, kQuatrainF16, table, &layout),
           "block_table");
    return layout;
  }

  static DeviceArray<unsigned char> Table(const std::vector<int32_t>& ends) {
    std::vector<unsigned char> table(LayOut(ends, nullptr).table_bytes);
    LayOut(ends, table.data());
    return DeviceArray<unsigned char>(table);
  }

  QuatrainDense View(int i) const {
    return {tiles_[i % tiles_.size()].data(),
            table_.data(),
            rows_,
            cols_,
            static_cast<int>(Blocks128(cols_).size()),
            layout_.tile_bytes,
            kQuatrainF16};
  }

  void Pack(uint32_t seed) {
    tiles_.emplace_back((rows_ + 31) / 32 * layout_.tile_bytes);
    const int slab_rows = std::min(kSlabRows, rows_);
    const DeviceArray<uint16_t> slab = RandomF16(
        static_cast<size_t>(slab_rows) * cols_, 0.05f, seed, bench_.stream());
    const QuatrainDense linear = View(static_cast<int>(tiles_.size()) - 1);
    for (int row = 0; row < rows_; row += slab_rows)
      CudaOk(
          Cuda().pack_dense(&linear, tiles_.back().data(), slab.data(), row,
                            std::min(row + slab_rows, rows_), bench_.stream()),
          "pack_dense");
    bench_.Synchronize();
  }

  // Its weights are the same bytes in another order.
  double TimeCublas(int tokens) {
    const DeviceArray<uint16_t> y(static_cast<size_t>(tokens) * rows_);
    return bench_
        .Measure(
            [&](int i) {
              cublas_->Gemm(tokens, rows_, cols_, x16_.data(),
                            tiles_[i % tiles_.size()].data(), y.data());
            },
            copies_)
        .median;
  }

  Bench& bench_;
  Cublas* cublas_;
  int rows_, cols_;
  int copies_;
  QuatrainLayout layout_;
  DeviceArray<unsigned char> table_;
  std::vector<DeviceArray<unsigned char>> tiles_;
  DeviceArray<float> x_;
  DeviceArray<uint16_t> x16_;
  DeviceArray<float> out_;
  DeviceArray<int32_t> marks_;
};

}  // namespace

void BenchHead(Bench& bench, Cublas* cublas) {
  const std::vector<int> tokens = bench.Pick({1, 8}, {1, 8}, {1, 3});
  PrintHead("Head");
  const int cols = bench.options().smoke ? 160 : 4096;
  for (const int rows : bench.Pick({32000, 128256}, {32000, 128256}, {96})) {
    Head head(bench, cublas, rows, cols, tokens.back());
    for (const int t : tokens) head.Run(t);
  }
}

}  // namespace quatrain::bench
