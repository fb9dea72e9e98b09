#include "kernels/cuda/int4_half_plan.h"
#include "tests/kernels/cuda/rounded_case.h"

// The product of the default mode for some 17 to 256 tokens: f16 or bf16
// activations, exact weights, f32 sums.
namespace quatrain {
namespace {

using namespace rounded;

Case Half(Case c) {
  c.half = true;
  return c;
}

SIMT_TEST(EveryOutputAndScale) {
  for (const QuatrainDType scales : {kQuatrainF16, kQuatrainBF16, kQuatrainF32})
    for (const int output : {kQuatrainStore, kQuatrainGated, kQuatrainPartial})
      Check(Half({5, 384, output == kQuatrainGated ? 44 : 37, 128, 128, output,
                  scales}));
}

SIMT_TEST(RaggedBlocks) {
  for (const QuatrainDType scales :
       {kQuatrainF16, kQuatrainBF16, kQuatrainF32}) {
    const auto check = [&](Case c) {
      c.scales = scales;
      Check(Half(c));
    };
    check({1, 1, 1});
    check({2, 96, 17});
    check({3, 257, 33});
    check({3, 480, 20, 48});
    check({3, 432, 21, 32, 72});
  }
}

SIMT_TEST(EveryNumberOfTokens) {
  for (const int tokens : {1, 2, 15, 17, 31, 32, 33, 64, 65, 100})
    Check(Half({tokens, 256, 37}));
}

// Enough outputs for the larger tiles on any device: whole blocks of k, others,
// every type of scales.
SIMT_TEST(LargerTiles) {
  for (const int tokens : {18, 70})
    for (const QuatrainDType scales :
         {kQuatrainF16, kQuatrainBF16, kQuatrainF32})
      for (const int group : {128, 96})
        Check(Half({tokens, 384, (tokens > 64 ? 64 : 128) * NumSms() - 50,
                    group, 128, kQuatrainStore, scales}));
}

// K, groups and a rank's part of 7B, 34B and 70B models; N is whole on a GPU.
SIMT_TEST(RealLayers) {
  struct Layer {
    int cols, group, rows;
  };
  for (const Layer& layer :
       {Layer{4096, 128, 4096}, {11008, 128, 37}, {896, 64, 7168}})
    Check(Half({3, layer.cols, Cuda().is_emulation != 0 ? 37 : layer.rows,
                layer.group}));
  if (Cuda().is_emulation != 0) return;
  Check(Half({64, 4096, 4096}));
  Check(Half({200, 8192, 80}));
}

SIMT_TEST(NormAndRowsOfEverySize) { rounded::CheckSizes(Half({4, 300, 21})); }

SIMT_TEST(MarksRows) { rounded::CheckMarks(Half({4, 256, 20})); }

SIMT_TEST(SumsAtTheLimit) {
  rounded::CheckLimit(Half({4, 1, 1, 128, 128, kQuatrainPartial}));
}

// x in f16, two floats per block of k and token, of which there are an even
// number, and a scale per token, each rounded up to 256 bytes.
SIMT_TEST(ScratchIsAPureFunction) {
  const auto scratch = Cuda().half_scratch_bytes;
  EXPECT_EQ(scratch(2, 1, 1), 256 + 256 + 256);
  EXPECT_EQ(scratch(3, 4, 3), 3 * 512 + 256 + 256);
  EXPECT_EQ(scratch(65, 64, 32), 65 * 8192 + 32 * 66 * 8 + 512);
  EXPECT_EQ(scratch(0, 1, 1), 0);
}

// On an H200: o of a 7B model, its gate and up, a rank's qkv of a 70B model.
SIMT_TEST(PlansOfModels) {
  const auto tile = [](int tokens, int tiles) {
    const cuda::HalfPlan plan = cuda::PlanHalf(tokens, tiles, 132);
    return 10 * plan.row_tiles + plan.col_tiles;
  };
  EXPECT_EQ(tile(64, 256), 12);
  EXPECT_EQ(tile(256, 256), 22);
  EXPECT_EQ(tile(320, 256), 24);
  EXPECT_EQ(tile(32, 1376), 22);
  EXPECT_EQ(tile(64, 1376), 24);
  EXPECT_EQ(tile(64, 80), 12);
}

SIMT_TEST(NothingToDo) { rounded::CheckNothingToDo(Cuda().half_product); }

SIMT_TEST(TooLittleScratchIsRefused) {
  rounded::CheckTooLittleScratch(Cuda().half_product);
}

}  // namespace
}  // namespace quatrain
