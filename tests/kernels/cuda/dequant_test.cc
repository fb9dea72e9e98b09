#include "tests/kernels/cuda/rounded_case.h"

// The product of the default mode for long prompts: f16 operands, f32 sums in a
// library's order.
namespace quatrain {
namespace {

using namespace rounded;

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

SIMT_TEST(NormAndRowsOfEverySize) { rounded::CheckSizes({4, 300, 21}); }

SIMT_TEST(MarksRows) { rounded::CheckMarks({4, 256, 20}); }

SIMT_TEST(SumsAtTheLimit) {
  rounded::CheckLimit({4, 1, 1, 128, 128, kQuatrainPartial});
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

SIMT_TEST(NothingToDo) { rounded::CheckNothingToDo(Cuda().dequant_product); }

SIMT_TEST(TooLittleScratchIsRefused) {
  rounded::CheckTooLittleScratch(Cuda().dequant_product);
}

}  // namespace
}  // namespace quatrain
