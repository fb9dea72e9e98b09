#include "model/awq.h"

#include "gtest/gtest.h"
#include "model/linear_source.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

// The synthetic layer of the published test vectors: integer formulas for any
// n, k, group; its packed tensors have known CRCs.
int Q(int n, int k) {
  return (37LL * n + 101LL * k + 7LL * n * k + 11) % 257 % 16;
}
int Z(int n, int g) { return (3 * n + 5 * g + 1) % 17 % 16; }
float S(int n, int g) { return static_cast<float>(8 * n + g + 1) / 4096; }

uint32_t Crc32(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int i = 0; i < 8; ++i)
      crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return ~crc;
}

// Packs value(row, column) eight columns a word.
template <typename Value>
std::vector<uint32_t> Pack(int rows, int columns, Value value) {
  std::vector<uint32_t> words(rows * columns / 8);
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column)
      words[(row * columns + column) / 8] |=
          static_cast<uint32_t>(value(row, column)) << (4 * AwqNibble(column));
  return words;
}

struct Layer {
  int n, k, group;

  std::vector<uint32_t> qweight() const {
    return Pack(k, n, [](int row, int column) { return Q(column, row); });
  }
  std::vector<uint32_t> qzeros() const {
    return Pack(k / group, n,
                [](int row, int column) { return Z(column, row); });
  }
  std::vector<uint16_t> scales() const {
    std::vector<uint16_t> bits;
    for (int g = 0; g < k / group; ++g)
      for (int i = 0; i < n; ++i) bits.push_back(F32ToF16(S(i, g)));
    return bits;
  }
  TestTensors tensors() const {
    return {{"m.qweight", {"I32", {k, n / 8}, BytesOf(qweight())}},
            {"m.qzeros", {"I32", {k / group, n / 8}, BytesOf(qzeros())}},
            {"m.scales", {"F16", {k / group, n}, BytesOf(scales())}}};
  }
  // Dense f32 [n, k], read through LinearSlice.
  std::vector<float> Dense() const {
    TempFolder folder;
    folder.Write("model.safetensors", FileOf(tensors()));
    const Checkpoint checkpoint = *Checkpoint::Open(folder.path());
    const LinearSlice slice =
        *OpenLinear(checkpoint, "m", n, k, false, {0, n}, {0, k}, 0);
    std::vector<uint8_t> q(n * k), z(n * slice.num_blocks());
    std::vector<float> s(z.size()), dense;
    EXPECT_TRUE(slice
                    .ReadInt4({0, n}, {0, slice.num_blocks()}, q.data(),
                              z.data(), s.data())
                    .ok());
    for (int row = 0; row < n; ++row) {
      for (int column = 0, block = 0; column < k; ++column) {
        if (column == slice.block_ends()[block]) ++block;
        const int at = block * n + row;
        dense.push_back(static_cast<float>(q[column * n + row] - z[at]) *
                        s[at]);
      }
    }
    return dense;
  }
};

TEST(AwqTest, PacksAndReadsTheSmallestLayer) {
  const Layer a{8, 16, 8};
  const std::vector<uint32_t> expected = {
      0xd4a09f5b, 0x3b4c7f80, 0x83d750a5, 0xea7340d9, 0x320f21fe, 0x99aa1122,
      0xe136f247, 0x38d1e27c, 0x906dc3a0, 0xe709b3c5, 0x4e9494fa, 0x9630741e,
      0xedcb6543, 0x45674567, 0x9cf2369c, 0xf49e16b1};
  EXPECT_EQ(a.qweight(), expected);
  EXPECT_EQ(a.qzeros(), (std::vector<uint32_t>{0x50a42d71, 0xa4f971c6}));
  EXPECT_EQ(a.scales()[0], 0x0c00);
  EXPECT_EQ(a.scales()[15], 0x2340);

  const std::vector<float> dense = a.Dense();
  EXPECT_EQ(Crc32(BytesOf(dense)), 0xb7b7ffb2u);
  EXPECT_EQ(dense[0], 0.00244140625f);
  EXPECT_EQ(dense[1 * 16 + 0], -0.0087890625f);
  EXPECT_EQ(dense[7 * 16 + 15], 0.07080078125f);
}

TEST(AwqTest, PacksAndReadsALayerWithTwoGroups) {
  const Layer b{8, 64, 32};
  EXPECT_EQ(Crc32(BytesOf(b.qweight())), 0xb2d665fbu);
  EXPECT_EQ(Crc32(BytesOf(b.qzeros())), 0x03fc04b0u);
  EXPECT_EQ(Crc32(BytesOf(b.scales())), 0xc523540bu);
  EXPECT_EQ(Crc32(BytesOf(b.Dense())), 0x15ed8addu);
}

TEST(AwqTest, PacksAndReadsALayerOfManyColumns) {
  const Layer c{64, 256, 128};
  EXPECT_EQ(Crc32(BytesOf(c.qweight())), 0x7fbf67d6u);
  EXPECT_EQ(Crc32(BytesOf(c.qzeros())), 0x723bdf03u);
  EXPECT_EQ(Crc32(BytesOf(c.scales())), 0x162b41a5u);
  EXPECT_EQ(Crc32(BytesOf(c.Dense())), 0x79724db3u);
}

TEST(AwqTest, UnpacksAnyRectangle) {
  const Layer c{64, 256, 128};
  const std::vector<uint32_t> words = c.qweight();
  for (const auto& [k0, k1, n0, n1] : {std::tuple{0, 256, 0, 64},
                                       {3, 200, 5, 6},
                                       {63, 65, 7, 17},
                                       {128, 256, 8, 64},
                                       {0, 1, 0, 8},
                                       {9, 9, 0, 8},
                                       {0, 8, 9, 9}}) {
    std::vector<uint8_t> out((n1 - n0) * (k1 - k0) + 1, 99);
    UnpackAwq(reinterpret_cast<const std::byte*>(words.data()), 8, {k0, k1},
              {n0, n1}, out.data());
    size_t at = 0;
    for (int k = k0; k < k1; ++k)
      for (int n = n0; n < n1; ++n) ASSERT_EQ(out[at++], Q(n, k));
    ASSERT_EQ(out[at], 99);  // and nothing after them
  }
}

// Tensors of module m by suffix, and what DetectFormat says of them.
class DetectFormatTest : public testing::Test {
 protected:
  absl::StatusOr<LinearFormat> Detect(const TestTensors& tensors) {
    folder_.Write("model.safetensors", FileOf(tensors));
    const absl::StatusOr<Checkpoint> checkpoint =
        Checkpoint::Open(folder_.path());
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return DetectFormat(*checkpoint, "m");
  }
  void ExpectUnsupported(const TestTensors& tensors,
                         const std::string& layout) {
    const absl::Status status = Detect(tensors).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_EQ(MessageOf(status),
              "m: is stored as " + layout +
                  ", which does not work here; those that do: AWQ GEMM, "
                  "unquantized f16, bf16 and f32");
  }
  static TestTensor I16Tensor(std::vector<int64_t> shape) {
    const size_t bytes = 2 * Elements(shape);
    return {"I16", std::move(shape), std::string(bytes, '\1')};
  }

  TempFolder folder_;
};

// All of one linear with n = 256, k = 128, group 64 (or as the layout needs).
TEST_F(DetectFormatTest, GoesByTheTensors) {
  EXPECT_EQ(*Detect({{"m.weight", F16Tensor({256, 128})}}),
            LinearFormat::kDense);
  EXPECT_EQ(*Detect({{"m.qweight", I32Tensor({128, 32})},
                     {"m.qzeros", I32Tensor({2, 32})},
                     {"m.scales", F16Tensor({2, 256})}}),
            LinearFormat::kAwqGemm);
  // Symmetric data in this layout may have no zeros.
  EXPECT_EQ(*Detect({{"m.qweight", I32Tensor({128, 32})},
                     {"m.scales", F16Tensor({2, 256})}}),
            LinearFormat::kAwqGemm);
}

TEST_F(DetectFormatTest, NamesTheOtherLayouts) {
  ExpectUnsupported({{"m.qweight", I32Tensor({256, 16})},
                     {"m.qzeros", I32Tensor({256, 2})},
                     {"m.scales", F16Tensor({256, 16})}},
                    "GEMV");
  ExpectUnsupported({{"m.qweight", I16Tensor({64, 128})},
                     {"m.qzeros", F16Tensor({8, 256})},
                     {"m.scales", F16Tensor({8, 256})}},
                    "GEMV_FAST");
  ExpectUnsupported({{"m.qweight", I16Tensor({64, 128})},
                     {"m.scaled_zeros", F16Tensor({8, 256})},
                     {"m.scales", F16Tensor({8, 256})}},
                    "GEMV_FAST");
  ExpectUnsupported(
      {{"m.qweight", I32Tensor({8, 512})}, {"m.scales", F16Tensor({2, 256})}},
      "Marlin");
  ExpectUnsupported(
      {{"m.B", I32Tensor({8, 512})}, {"m.s", F16Tensor({2, 256})}}, "Marlin");
  ExpectUnsupported({{"m.qweight", I32Tensor({16, 256})},
                     {"m.qzeros", I32Tensor({2, 32})},
                     {"m.scales", F16Tensor({2, 256})}},
                    "GPTQ");
  ExpectUnsupported({{"m.qweight", I32Tensor({16, 256})},
                     {"m.qzeros", I32Tensor({2, 32})},
                     {"m.g_idx", I32Tensor({128})},
                     {"m.scales", F16Tensor({2, 256})}},
                    "GPTQ");
  ExpectUnsupported({{"m.weight_packed", I32Tensor({256, 16})},
                     {"m.weight_scale", F16Tensor({256, 2})}},
                    "compressed-tensors");
}

TEST_F(DetectFormatTest, SaysWhenThereIsNoWeight) {
  const absl::Status status = Detect({{"m.bias", F16Tensor({8})}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(status),
            "m: no weight in the checkpoint, neither .weight nor .qweight");
}

TEST_F(DetectFormatTest, RefusesTwoWeights) {
  EXPECT_EQ(MessageOf(Detect({{"m.weight", F16Tensor({8, 8})},
                              {"m.qweight", I32Tensor({8, 1})}})
                          .status()),
            "m: both .qweight and .weight are there");
}

}  // namespace
}  // namespace quatrain
