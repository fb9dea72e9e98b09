#include "model/linear_source.h"

#include <cstring>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard_plan.h"
#include "tests/model/model_folder.h"

namespace quatrain {
namespace {

using testing::ElementsAre;

class LinearSourceTest : public testing::Test {
 protected:
  void Open(const TestTensors& tensors) {
    folder_.Write("model.safetensors", FileOf(tensors));
    absl::StatusOr<Checkpoint> opened = Checkpoint::Open(folder_.path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    checkpoint_ = std::make_unique<Checkpoint>(*std::move(opened));
  }
  static TestTensors Awq(int n, int k, int group) {
    TestTensors tensors;
    AddAwqLinear("m", n, k, group, &tensors);
    return tensors;
  }
  absl::StatusOr<LinearSlice> Whole(int n, int k, bool bias = false) {
    return OpenLinear(*checkpoint_, "m", n, k, bias, {0, n}, {0, k}, 0);
  }
  std::string Error(int n, int k, bool bias = false) {
    return MessageOf(Whole(n, k, bias).status());
  }

  TempFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

struct Int4Piece {
  std::vector<uint8_t> q, z;
  std::vector<float> s;
};

Int4Piece Read(const LinearSlice& slice, int begin, int end) {
  Int4Piece piece;
  piece.q.resize(static_cast<size_t>(end - begin) * slice.num_cols());
  piece.z.resize(static_cast<size_t>(end - begin) * slice.num_blocks());
  piece.s.resize(piece.z.size());
  EXPECT_TRUE(slice
                  .ReadInt4({begin, end}, {0, slice.num_blocks()},
                            piece.q.data(), piece.z.data(), piece.s.data())
                  .ok());
  return piece;
}

TEST_F(LinearSourceTest, ARectangleReadsTheSameAsTheWhole) {
  Open(Awq(48, 512, 64));
  const LinearSlice whole = *Whole(48, 512);
  const Int4Piece all = Read(whole, 0, 48);
  // Head size 80: blocks of o end at heads, groups and multiples of 128.
  const LinearSlice part =
      *OpenLinear(*checkpoint_, "m", 48, 512, false, {11, 37}, {80, 320}, 80);
  EXPECT_THAT(
      std::vector<int>(part.block_ends().begin(), part.block_ends().end()),
      ElementsAre(48, 80, 112, 160, 176, 240));
  const Int4Piece piece = Read(part, 3, 20);
  for (int row = 0; row < 17; ++row) {
    for (int column = 0, block = 0; column < 240; ++column) {
      if (column == part.block_ends()[block]) ++block;
      const int n = 11 + 3 + row, k = 80 + column, group = k / 64;
      ASSERT_EQ(piece.q[column * 17 + row], all.q[k * 48 + n]);
      ASSERT_EQ(piece.z[block * 17 + row], all.z[group * 48 + n]);
      ASSERT_EQ(piece.s[block * 17 + row], all.s[group * 48 + n]);
    }
  }
}

TEST_F(LinearSourceTest, SomeBlocksReadTheSameAsAll) {
  Open(Awq(48, 512, 64));
  const LinearSlice slice = *Whole(48, 512);
  const Int4Piece all = Read(slice, 0, 48);
  std::vector<uint8_t> q(3 * 64 * 10), z(3 * 10);
  std::vector<float> s(3 * 10);
  ASSERT_TRUE(
      slice.ReadInt4({5, 15}, {2, 5}, q.data(), z.data(), s.data()).ok());
  for (int k = 0; k < 3 * 64; ++k) {
    for (int row = 0; row < 10; ++row) {
      ASSERT_EQ(q[k * 10 + row], all.q[(128 + k) * 48 + 5 + row]);
      ASSERT_EQ(z[k / 64 * 10 + row], all.z[(2 + k / 64) * 48 + 5 + row]);
      ASSERT_EQ(s[k / 64 * 10 + row], all.s[(2 + k / 64) * 48 + 5 + row]);
    }
  }
}

TEST_F(LinearSourceTest, OneGroupForAllStillHasBlocksOf128) {
  Open(Awq(8, 320, 320));
  const LinearSlice slice = *Whole(8, 320);
  EXPECT_EQ(slice.group_size(), 320);
  EXPECT_THAT(
      std::vector<int>(slice.block_ends().begin(), slice.block_ends().end()),
      ElementsAre(128, 256, 320));
  const Int4Piece piece = Read(slice, 0, 8);
  EXPECT_EQ(piece.s[0], piece.s[2 * 8]);
}

TEST_F(LinearSourceTest, WithoutZerosEveryZeroIsEight) {
  TestTensors tensors = Awq(8, 64, 32);
  tensors.erase("m.qzeros");
  Open(tensors);
  EXPECT_EQ(Read(*Whole(8, 64), 0, 8).z, std::vector<uint8_t>(16, 8));
}

TEST_F(LinearSourceTest, ScalesMayBeBf16OrF32) {
  TestTensors tensors = Awq(8, 32, 32);
  std::vector<uint16_t> bf16(8, F32ToBF16(0.5f));
  tensors["m.scales"] = {"BF16", {1, 8}, BytesOf(bf16)};
  Open(tensors);
  EXPECT_EQ(Read(*Whole(8, 32), 0, 8).s, std::vector<float>(8, 0.5f));
  tensors["m.scales"] = {"F32", {1, 8}, BytesOf(std::vector<float>(8, 0.1f))};
  Open(tensors);
  EXPECT_EQ(Read(*Whole(8, 32), 0, 8).s, std::vector<float>(8, 0.1f));
}

TEST_F(LinearSourceTest, AScaleThatIsNotFiniteIsRefusedByName) {
  TestTensors tensors = Awq(8, 64, 32);
  std::vector<float> scales(16, 0.1f);
  scales[8 + 5] = std::numeric_limits<float>::infinity();
  tensors["m.scales"] = {"F32", {2, 8}, BytesOf(scales)};
  Open(tensors);
  const LinearSlice slice = *Whole(8, 64);
  uint8_t q[8 * 64], z[16];
  float s[16];
  EXPECT_EQ(MessageOf(slice.ReadInt4({0, 8}, {0, 2}, q, z, s)),
            "m.scales: the scale of output 5, group 1 is not finite");
  EXPECT_TRUE(slice.ReadInt4({0, 5}, {0, 2}, q, z, s).ok());
}

TEST_F(LinearSourceTest, ADenseRectangleIsCopiedAsStored) {
  Open({{"m.weight", F16Tensor({10, 256})}, {"m.bias", F16Tensor({10}, 3)}});
  const LinearSlice slice =
      *OpenLinear(*checkpoint_, "m", 10, 256, true, {2, 9}, {128, 256}, 0);
  EXPECT_FALSE(slice.is_int4());
  EXPECT_EQ(slice.dtype(), DType::kF16);
  EXPECT_EQ(slice.stored_bytes(), 7 * 128 * 2 + 7 * 2);
  std::vector<uint16_t> raw(3 * 128);
  ASSERT_TRUE(slice.ReadDense(1, 4, raw.data()).ok());
  std::vector<uint16_t> all(10 * 256);
  std::memcpy(all.data(), checkpoint_->Find("m.weight")->bytes().data(),
              all.size() * 2);
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 128; ++column)
      ASSERT_EQ(raw[row * 128 + column], all[(3 + row) * 256 + 128 + column]);
  ASSERT_EQ(slice.Bias().size(), 7u);
  EXPECT_EQ(slice.Bias()[0], (2 * 37 + 3) % 509 / 256.0f - 1);
}

TEST_F(LinearSourceTest, WrongTensorsAreRefusedByName) {
  Open({{"m.weight", F16Tensor({8, 64})}});
  EXPECT_EQ(Error(8, 80),
            "m.weight: shape [8, 64], config.json implies [8, 80]");
  EXPECT_EQ(Error(8, 64, true), "m.bias: not in the checkpoint");
  Open({{"m.weight", F16Tensor({8, 64})}, {"m.bias", F16Tensor({7})}});
  EXPECT_EQ(Error(8, 64, true), "m.bias: shape [7], config.json implies [8]");
  EXPECT_EQ(Error(8, 64, false),
            "m.bias: is in the checkpoint, config.json implies no bias");
  Open({{"m.weight", I32Tensor({8, 64})}});
  EXPECT_EQ(Error(8, 64), "m.weight: dtype I32, expected F16, BF16 or F32");
}

TEST_F(LinearSourceTest, WrongPackedTensorsAreRefusedByName) {
  Open(Awq(16, 64, 32));
  EXPECT_EQ(Error(16, 128),
            "m.qweight: shape [64, 2], config.json implies [128, 2]");
  EXPECT_EQ(Error(24, 64),
            "m.qweight: shape [64, 2], config.json implies [64, 3]");
  EXPECT_EQ(Error(12, 64),
            "m: 12 outputs, a packed linear has a multiple of 8");
  TestTensors tensors = Awq(16, 64, 32);
  tensors["m.scales"] = F16Tensor({3, 16});
  tensors["m.qzeros"] = I32Tensor({3, 2});
  Open(tensors);
  EXPECT_EQ(Error(16, 64),
            "m.scales: shape [3, 16], config.json implies [number of groups, "
            "16] where the groups divide 64");
  tensors = Awq(16, 64, 32);
  tensors.erase("m.scales");
  Open(tensors);
  EXPECT_EQ(Error(16, 64), "m.scales: not in the checkpoint");
  tensors = Awq(16, 64, 32);
  tensors["m.scales"] = I32Tensor({2, 16});
  Open(tensors);
  EXPECT_EQ(Error(16, 64), "m.scales: dtype I32, expected F16, BF16 or F32");
  tensors = Awq(16, 64, 32);
  tensors["m.qzeros"].dtype = "U32";
  Open(tensors);
  EXPECT_EQ(Error(16, 64), "m.qzeros: dtype U32, expected I32");
  tensors = Awq(16, 64, 32);
  tensors["m.qweight"].dtype = "F32";
  Open(tensors);
  EXPECT_EQ(Error(16, 64), "m.qweight: dtype F32, expected I32");
}

TEST_F(LinearSourceTest, VectorsAndTablesAreChecked) {
  Open({{"norm.weight", F16Tensor({4})}, {"e.weight", F16Tensor({6, 4})}});
  EXPECT_THAT(
      *ReadVector(*checkpoint_, "norm.weight", 4),
      ElementsAre(-1, 37 / 256.0f - 1, 74 / 256.0f - 1, 111 / 256.0f - 1));
  EXPECT_EQ(MessageOf(ReadVector(*checkpoint_, "norm.weight", 5).status()),
            "norm.weight: shape [4], config.json implies [5]");
  EXPECT_EQ(MessageOf(ReadVector(*checkpoint_, "none.weight", 5).status()),
            "none.weight: not in the checkpoint");
  const TableRows rows = *OpenTable(*checkpoint_, "e.weight", 6, 4, {2, 5});
  EXPECT_EQ(rows.bytes.size(), 3u * 4 * 2);
  EXPECT_EQ(rows.bytes.data(),
            checkpoint_->Find("e.weight")->bytes().data() + 2 * 4 * 2);
  EXPECT_EQ(
      MessageOf(OpenTable(*checkpoint_, "e.weight", 7, 4, {0, 1}).status()),
      "e.weight: shape [6, 4], config.json implies [7, 4]");
}

TEST_F(LinearSourceTest, ShardsOfAPlanReadTheWholeModel) {
  SmallLlama small;
  small.WriteTo(folder_);
  const Checkpoint checkpoint = *Checkpoint::Open(folder_.path());
  const ModelConfig config = *LoadModelConfig(folder_.path());
  // Every nibble of every linear, summed over ranks, is that of one rank.
  const auto sum = [&](const LayoutFlags& flags) {
    int64_t total = 0;
    for (const RankShard& shard :
         PlanShards(config, *MakeLayout(flags, config.num_layers))) {
      for (const TensorSlice& slice : SlicesOf(config, shard)) {
        const bool kv = slice.name.ends_with("k_proj") ||
                        slice.name.ends_with("v_proj");  // replicated
        if (slice.kind != TensorSlice::kLinear || kv) continue;
        const auto linear = OpenLinear(checkpoint, slice.name, slice.num_rows,
                                       slice.num_columns, false, slice.rows,
                                       slice.columns, slice.head_dim);
        EXPECT_TRUE(linear.ok()) << linear.status();
        if (!linear->is_int4()) continue;
        const Int4Piece piece = Read(*linear, 0, linear->num_rows());
        for (const uint8_t q : piece.q) total += q;
      }
    }
    return total;
  };
  const int64_t expected = sum({});
  EXPECT_EQ(sum({.tp = 2}), expected);
  EXPECT_EQ(sum({.tp = 3, .pp = 2}), expected);
  EXPECT_EQ(sum({.tp = 7}), expected);
  EXPECT_EQ(sum({.tp_shares = "3,0,1"}), expected);
}

}  // namespace
}  // namespace quatrain
