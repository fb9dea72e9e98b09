#include <cstring>

#include "kernels/cuda/attention_mma_plan.h"
#include "tests/kernels/cuda/attend_shape.h"
#include "tests/kernels/cuda/attention_bounds.h"
#include "tests/kernels/cuda/attention_case.h"
#include "tests/kernels/simt/runner.h"

// Attention of the default mode on tensor cores, for each type of the cache.
namespace quatrain {
namespace {

constexpr QuatrainDType kTypes[] = {kQuatrainF16, kQuatrainBF16, kQuatrainInt8,
                                    kQuatrainFp8};

std::string Of(const char* what, int value) {
  return std::string(what) + " " + std::to_string(value);
}

SIMT_TEST(MmaDimsOfAHead) {
  for (const QuatrainDType dtype : kTypes)
    for (const int dim : {64, 80, 96, 128, 256})
      for (const int count : {1, 4})
        ExpectWithinBounds(
            {.heads = Groups(1, count),
             .dim = dim,
             .dtype = dtype,
             .sequences = {{32, 1}, {70, 1}, {20, 15}}},
            Of("type", dtype) + Of(" dim", dim) + Of(" count", count));
}

// Weights as uneven as those of a model.
SIMT_TEST(MmaSharpWeights) {
  for (const QuatrainDType dtype : kTypes)
    ExpectWithinBounds({.heads = Groups(2, 4),
                        .dim = 64,
                        .dtype = dtype,
                        .sequences = {{300, 1}, {20, 40}}},
                       Of("type", dtype), {1.5f, 1.5f, 1.0f});
}

SIMT_TEST(MmaQueryHeadsPerKvHead) {
  for (const int count : {1, 2, 7, 8, 12, 16, 17, 40})
    ExpectWithinBounds({.heads = Groups(count < 8 ? 2 : 1, count),
                        .dim = 64,
                        .sequences = {{40, 1}, {3, 1}, {30, 9}}},
                       Of("count", count));
}

SIMT_TEST(MmaHeadsThatAreSharedUnevenly) {
  for (const bool stores : {false, true})
    ExpectWithinBounds({.heads = {{0, 0, 2}, {1, 2, 4}, {2, 6, 1}},
                        .dim = 64,
                        .sequences = {{40, 1}, {0, 1}, {33, stores ? 1 : 20}},
                        .stores = stores},
                       Of("stores", stores));
}

SIMT_TEST(MmaContextsAroundTilesAndSegments) {
  for (const int context : {1, 2, 31, 32, 33, 127, 129, 512, 513, 1100})
    ExpectWithinBounds({.heads = Groups(1, 2),
                        .dim = 64,
                        .sequences = {{context - 1, 1}},
                        .stores = context % 2 == 1},
                       Of("context", context));
}

SIMT_TEST(MmaChunksAroundTilesAndSegments) {
  struct Chunk {
    int start, n;
  };
  for (const Chunk c : {Chunk{0, 2}, Chunk{0, 33}, Chunk{31, 2}, Chunk{0, 65},
                        Chunk{500, 25}, Chunk{1010, 16}})
    ExpectWithinBounds(
        {.heads = Groups(1, 2), .dim = 64, .sequences = {{c.start, c.n}}},
        Of("start", c.start) + Of(" n", c.n));
}

SIMT_TEST(MmaWindows) {
  for (const int window : {1, 2, 31, 32, 33, 600})
    ExpectWithinBounds(
        {.heads = Groups(1, 4),
         .dim = 64,
         .window = window,
         .sequences = {{0, 1}, {32, 1}, {700, 1}, {0, 40}, {590, 37}}},
        Of("window", window));
}

SIMT_TEST(MmaABatchOfAllKinds) {
  ExpectWithinBounds(
      {.heads = Groups(2, 4),
       .dim = 64,
       .sequences = {{200, 1}, {0, 3}, {530, 1}, {64, 33}, {0, 1}, {7, 2}},
       .padding = 3},
      "mixed", kEvenSizes, true);
}

SIMT_TEST(MmaBlockSizes) {
  for (const int block_size : {1, 5, 16, 64})
    for (const QuatrainDType dtype : kTypes)
      ExpectWithinBounds({.heads = Groups(2, 2),
                          .dim = 80,
                          .dtype = dtype,
                          .block_size = block_size,
                          .sequences = {{74, 1}, {0, 1}, {5, 30}}},
                         Of("block_size", block_size));
}

SIMT_TEST(MmaDecodeStoresItsOwnTokens) {
  for (const QuatrainDType dtype : kTypes)
    for (const int count : {1, 12, 40})
      ExpectWithinBounds({.heads = Groups(2, count),
                          .dim = 64,
                          .dtype = dtype,
                          .sequences = {{0, 1}, {31, 1}, {32, 1}, {530, 1}},
                          .padding = 2,
                          .marked = {2},
                          .stores = true},
                         Of("type", dtype) + Of(" count", count));
}

SIMT_TEST(MmaRotaryEmbeddings) {
  for (const int pairs : {0, 1, 6, 32})
    ExpectWithinBounds({.heads = Groups(2, 2),
                        .dim = 64,
                        .pairs = pairs,
                        .rope_scaling = 1.1f,
                        .sequences = {{74, 1}, {5, 30}}},
                       Of("pairs", pairs));
}

SIMT_TEST(MmaMarkedAndPaddingRows) {
  ExpectWithinBounds({.heads = Groups(2, 2),
                      .dim = 64,
                      .sequences = {{40, 1}, {33, 1}, {5, 40}},
                      .padding = 3,
                      .marked = {1, 20}},
                     "marks and padding");
}

// q far outside of f16, and far below it.
SIMT_TEST(MmaQueriesOfAnySize) {
  struct Sizes {
    float q, k;
  };
  for (const QuatrainDType dtype : kTypes)
    for (const Sizes s :
         {Sizes{1e6f, 1e-6f}, Sizes{1e-12f, 1.0f}, Sizes{1e-30f, 1.0f},
          Sizes{1e30f, 1e-30f}, Sizes{1e-42f, 1.0f}})
      ExpectWithinBounds({.heads = Groups(1, 4),
                          .dim = 64,
                          .dtype = dtype,
                          .sequences = {{40, 1}, {5, 20}}},
                         Of("type", dtype) + " q " + runner::Show(s.q),
                         {s.q, s.k, 1.0f});
}

SIMT_TEST(MmaValuesThatAreNotFinite) {
  for (const QuatrainDType dtype : kTypes)
    for (const bool stores : {false, true})
      ExpectWithinBounds(
          {.heads = Groups(2, 4),
           .dim = 64,
           .dtype = dtype,
           .sequences = {{70, 1}, {530, 1}, {20, stores ? 1 : 35}, {3, 1}},
           .is_hard = true,
           .stores = stores},
          Of("type", dtype));
}

// What a row does not see must not be multiplied by zero.
SIMT_TEST(MmaNotFiniteAndOutsideOfTheWindow) {
  for (const QuatrainDType dtype : kTypes)
    for (const int window : {1, 17, 32})
      for (const int count : {1, 4})
        ExpectWithinBounds(
            {.heads = Groups(1, count),
             .dim = 64,
             .dtype = dtype,
             .window = window,
             .sequences = {{32, 1}, {30, 70}, {91, 9}},
             .is_hard = true},
            Of("type", dtype) + Of(" window", window) + Of(" count", count));
}

SIMT_TEST(MmaDevicesOfEverySize) {
  for (const int compute_capability : {80, 86, 90})
    for (const int num_sms : {1, 20})
      for (const int dim : {64, 256})
        for (const QuatrainDType dtype : {kQuatrainF16, kQuatrainInt8})
          ExpectWithinBounds({.heads = Groups(1, 4),
                              .dim = dim,
                              .dtype = dtype,
                              .sequences = {{1030, 1}, {600, 1}, {520, 9}},
                              .compute_capability = compute_capability,
                              .num_sms = num_sms},
                             Of("capability", compute_capability) +
                                 Of(" sms", num_sms) + Of(" dim", dim) +
                                 Of(" type", dtype),
                             kEvenSizes, true);
}

// Where one warp has all of a row's keys and needs no merge, and where it has
// those of a split.
SIMT_TEST(MmaOneTileWarp) {
  for (const QuatrainDType dtype : kTypes)
    for (const int num_sms : {1, 40})
      ExpectWithinBounds({.heads = Groups(1, 8),
                          .dim = 256,
                          .dtype = dtype,
                          .sequences = {{530, 1}, {20, 1}, {520, 4}},
                          .marked = {1, 4},
                          .is_hard = num_sms == 1,
                          .compute_capability = 86,
                          .num_sms = num_sms},
                         Of("type", dtype) + Of(" sms", num_sms));
}

SIMT_TEST(MmaTwoRunsGiveTheSameBits) {
  for (const QuatrainDType dtype : kTypes) {
    const AttendCase c{.heads = Groups(1, 4),
                       .dim = 64,
                       .dtype = dtype,
                       .sequences = {{1030, 1}, {200, 1}, {520, 3}},
                       .uses_mma = true,
                       .num_sms = 20};
    AttendStep one(c), other(c);
    const std::vector<float> a = one.Device(), b = other.Device();
    EXPECT(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  }
}

// The bound itself: narrow enough that a lost key of a hundred is seen. (A
// weight is 0.01; the cache's own rounding is not part of it.)
SIMT_TEST(MmaBoundsAreNarrow) {
  for (const QuatrainDType dtype :
       {kQuatrainF16, kQuatrainInt8, kQuatrainFp8}) {
    AttendStep step({.heads = Groups(1, 4),
                     .dim = 64,
                     .dtype = dtype,
                     .sequences = {{99, 1}},
                     .uses_mma = true,
                     .sizes = {0.02f, 1.0f, 1.0f}});
    const std::vector<float> outputs = step.Device();
    AttendBounds bounds(step, outputs);
    bounds.Check("narrow");
    EXPECT(bounds.widest() < 0.004);
  }
}

// Values that f16 does not have, of keys side by side: int8's scales go around
// them.
SIMT_TEST(MmaScalesOfAnySize) {
  for (const float size : {1e-20f, 1e-7f, 1e6f, 1e30f})
    for (const bool stores : {false, true})
      ExpectWithinBounds(
          {.heads = Groups(1, 4),
           .dim = 64,
           .dtype = kQuatrainInt8,
           .sequences = {{40, 1}, {100, 1}, {5, stores ? 1 : 20}},
           .stores = stores},
          "V " + runner::Show(size), {0.25f, 1.0f, size});
}

// A token does not see that a later one is a million times larger, nor does
// what was smaller spoil it.
SIMT_TEST(MmaScalesThatGrowAndShrink) {
  for (const float growth : {4.0f, 0.25f, 1e4f})
    ExpectWithinBounds({.heads = Groups(1, 4),
                        .dim = 64,
                        .dtype = kQuatrainInt8,
                        .sequences = {{5, 14}, {40, 6}, {33, 1}}},
                       "V grows by " + runner::Show(growth),
                       {0.25f, 1.0f, 1e-35f, growth});
}

SIMT_TEST(MmaSharedMemoryFits) {
  ForAttendShapes(
      kTypes, std::vector{64, 80, 96, 128, 256}, 1,
      [](const QuatrainAttendShape& shape, int list, int sequences) {
        const cuda::AttendLaunch launch =
            cuda::PlanAttendMma(shape, list, sequences);
        const cuda::AttendRows& rows = launch.rows;
        EXPECT(launch.shared.bytes <= SharedLimit(shape.compute_capability));
        EXPECT(launch.tile_warps >= 1 && launch.num_threads() <= 128);
        EXPECT(rows.total <= 16 * rows.row_warps);
        EXPECT(rows.heads * rows.head_parts >= shape.max_count);
        EXPECT(rows.heads * rows.tokens <= rows.total);
      });
}

// A piece of a chunk has up to 64 rows, each of one launch's four warps 16.
SIMT_TEST(MmaChunksHaveAsManyRowsAsFit) {
  QuatrainAttendShape shape{.num_q_heads = 32,
                            .num_kv_heads = 8,
                            .head_dim = 128,
                            .kv_dtype = kQuatrainF16,
                            .num_uses = 8,
                            .max_count = 4,
                            .window = 0,
                            .max_tokens = 512,
                            .max_sequences = 8,
                            .compute_capability = 90,
                            .num_sms = 132,
                            .uses_mma = 1};
  EXPECT_EQ(cuda::PlanAttendRows(shape, cuda::kChunks).tokens, 16);
  EXPECT_EQ(cuda::PlanAttendRows(shape, cuda::kSingles).total, 4);
  shape.max_count = 7;
  EXPECT_EQ(cuda::PlanAttendRows(shape, cuda::kChunks).tokens, 9);
  shape.head_dim = 256;
  shape.compute_capability = 86;
  EXPECT_EQ(cuda::PlanAttendRows(shape, cuda::kChunks).row_warps, 3);
  shape.uses_mma = 0;  // the exact form has fewer
  EXPECT_EQ(cuda::PlanAttendRows(shape, cuda::kChunks).total, 12);
}

SIMT_TEST(MmaBadOperandsAreRefused) {
  QuatrainAttend op{};
  op.shape = {.num_q_heads = 1,
              .num_kv_heads = 1,
              .head_dim = 64,
              .kv_dtype = kQuatrainF32,
              .num_uses = 1,
              .max_count = 1,
              .window = 0,
              .max_tokens = 1,
              .max_sequences = 1,
              .compute_capability = 90,
              .num_sms = 1,
              .uses_mma = 1};
  op.kv = {.data = nullptr,
           .scales = nullptr,
           .dtype = kQuatrainF32,
           .num_blocks = 1,
           .block_size = 16,
           .num_kv_heads = 1,
           .head_dim = 64};
  op.step.num_tokens = 1;
  op.lists = kQuatrainSingles;
  const auto is_refused = [&op] {
    return Cuda().attend_mma(&op, nullptr) == kQuatrainBadArgument;
  };
  EXPECT(is_refused());
  op.shape.kv_dtype = op.kv.dtype = kQuatrainInt8;  // and no scales
  EXPECT(is_refused());
  op.shape.kv_dtype = op.kv.dtype = kQuatrainF16;
  op.stores = 1;
  op.lists = kQuatrainSingles | kQuatrainChunks;
  EXPECT(is_refused());
  op.stores = 0;
  op.lists = kQuatrainSingles;
  op.shape.head_dim = op.kv.head_dim = 48;
  EXPECT(is_refused());
  op.shape.head_dim = op.kv.head_dim = 64;
  op.shape.uses_mma = 0;
  EXPECT(is_refused());
  EXPECT(std::strstr(Cuda().message(), "other entry") != nullptr);
  op.shape.uses_mma = 1;
  EXPECT(Cuda().attend(&op, nullptr) == kQuatrainBadArgument);
  EXPECT(std::strstr(Cuda().message(), "other entry") != nullptr);
}

}  // namespace
}  // namespace quatrain
