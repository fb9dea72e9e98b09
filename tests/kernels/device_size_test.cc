#include "kernels/cuda/device_size.h"

#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/table.h"

namespace quatrain::cuda {
namespace {

TEST(DeviceSizeTest, Int4PartsAreWholeTiles) {
  const std::vector<int> ends = {128, 256};
  // 16 x 128 weights of half a byte, 16 scales and zeros of 2 bytes each.
  constexpr int64_t kRecord = 1024 + 64;
  constexpr int64_t kTable = 3 * 16;
  EXPECT_EQ(Int4DeviceBytes(16, ends, DType::kF16), 2 * kRecord + kTable);
  EXPECT_EQ(Int4DeviceBytes(17, ends, DType::kBF16), 4 * kRecord + kTable);
  EXPECT_EQ(Int4DeviceBytes(16, ends, DType::kF32),
            2 * (kRecord + 64) + kTable);
  // 33 k: a pair of steps; 32: half of one.
  EXPECT_EQ(Int4DeviceBytes(16, std::vector<int>{33}, DType::kF16),
            512 + 64 + 2 * 16);
  EXPECT_EQ(Int4DeviceBytes(16, std::vector<int>{32}, DType::kF16),
            256 + 64 + 2 * 16);
}

TEST(DeviceSizeTest, DensePartsArePaddedToChunks) {
  const std::vector<int> ends = {128, 133};  // 5 k: one chunk of 8, two of 4
  EXPECT_EQ(DenseDeviceBytes(32, ends, DType::kF16), 32 * (256 + 16) + 3 * 16);
  EXPECT_EQ(DenseDeviceBytes(33, ends, DType::kF32),
            2 * 32 * (512 + 32) + 3 * 16);
}

// Few outputs of many short blocks: the corrections of the product with half
// activations are more than the other's weights and results.
TEST(DeviceSizeTest, ScratchServesTheProductWithHalfActivations) {
  const std::vector<Int4Size> linears = {{16, 1, 1}, {16, 1000, 2000}};
  EXPECT_EQ(ProductScratchBytes(8192, linears, 132, 2, true),
            HalfScratch(8192, 1000, 2000).total + MediumScratch(132, 2).total);
}

// What every step of up to max_tokens asks for, of every linear.
TEST(DeviceSizeTest, ScratchServesEveryProduct) {
  const std::vector<Int4Size> linears = {
      {10240, 128, 64}, {8192, 128, 64}, {57344, 128, 64}, {8192, 448, 224}};
  const int64_t bytes = ProductScratchBytes(2048, linears, 132, 2, true);
  const int64_t split = MediumScratch(132, 2).total;
  int64_t most = 0;
  for (const int tokens : {1, 64, 512, 1000, 2047, 2048})
    for (const Int4Size& linear : linears)
      most = std::max(
          most, DequantScratch(tokens, linear.rows, linear.num_pairs).total);
  EXPECT_LE(most + split, bytes);
  EXPECT_LE(bytes, most + split + (most >> 4));  // and not much more
  EXPECT_EQ(ProductScratchBytes(2048, linears, 132, 2, false), split);
  // 264 tickets; 64 outputs of 32 tokens, 8 bytes each, for everyone.
  EXPECT_EQ(split, 1280 + 264 * 64 * 32 * 8);
}

}  // namespace
}  // namespace quatrain::cuda
