#include "kernels/cuda/attention_plan.h"
#include "tests/kernels/cuda/attend_shape.h"
#include "tests/kernels/cuda/attention_case.h"
#include "tests/kernels/simt/runner.h"

// Exact attention against the reference, bit for bit.
namespace quatrain {
namespace {

constexpr QuatrainDType kTypes[] = {kQuatrainF16, kQuatrainBF16, kQuatrainF32,
                                    kQuatrainInt8, kQuatrainFp8};

std::string Of(const char* what, int value) {
  return std::string(what) + " " + std::to_string(value);
}

SIMT_TEST(DimsOfAHead) {
  for (const int dim : {8, 16, 64, 80, 96, 128, 256})
    for (const int count : {1, 4})
      ExpectAttendsLikeReference({.heads = Groups(1, count),
                                  .dim = dim,
                                  .sequences = {{32, 1}, {70, 1}, {20, 15}}},
                                 Of("dim", dim) + Of(" count", count));
}

SIMT_TEST(QueryHeadsPerKvHead) {
  for (const int count : {1, 2, 4, 7, 8, 12, 40})
    ExpectAttendsLikeReference({.heads = Groups(count < 8 ? 2 : 1, count),
                                .sequences = {{40, 1}, {3, 1}, {30, 9}}},
                               Of("count", count));
}

SIMT_TEST(HeadsThatAreSharedUnevenly) {
  for (const bool stores : {false, true})
    ExpectAttendsLikeReference(
        {.heads = {{0, 0, 2}, {1, 2, 4}, {2, 6, 1}},
         .sequences = {{40, 1}, {0, 1}, {33, stores ? 1 : 20}},
         .stores = stores},
        "uneven");
}

SIMT_TEST(ContextsAroundTilesAndSegments) {
  for (const int context : {1, 2, 31, 32, 33, 63, 64, 511, 512, 513, 1025})
    for (const bool stores : {false, true})
      ExpectAttendsLikeReference(
          {.heads = Groups(1, 2),
           .sequences = {{context - 1, 1}},
           .stores = stores},
          Of("context", context) + Of(" stores", stores));
}

SIMT_TEST(ChunksAroundTilesAndSegments) {
  struct Chunk {
    int start, n;
  };
  for (const Chunk c : {Chunk{0, 2}, Chunk{0, 31}, Chunk{0, 33}, Chunk{31, 2},
                        Chunk{0, 65}, Chunk{500, 25}, Chunk{1010, 16}})
    ExpectAttendsLikeReference(
        {.heads = Groups(1, 2), .sequences = {{c.start, c.n}}},
        Of("start", c.start) + Of(" n", c.n));
}

SIMT_TEST(Windows) {
  for (const int window : {1, 2, 31, 32, 33, 600})
    ExpectAttendsLikeReference(
        {.heads = Groups(1, 4),
         .window = window,
         .sequences = {{0, 1}, {32, 1}, {700, 1}, {0, 40}, {590, 37}}},
        Of("window", window));
}

SIMT_TEST(ABatchOfAllKinds) {
  ExpectAttendsLikeReference(
      {.heads = Groups(2, 4),
       .dim = 64,
       .sequences = {{200, 1}, {0, 3}, {530, 1}, {64, 33}, {0, 1}, {7, 2}}},
      "mixed", true);
}

SIMT_TEST(BlockSizes) {
  for (const int block_size : {1, 4, 5, 16, 32, 64})
    ExpectAttendsLikeReference({.heads = Groups(2, 2),
                                .block_size = block_size,
                                .sequences = {{74, 1}, {0, 1}, {5, 30}}},
                               Of("block_size", block_size));
}

SIMT_TEST(TypesOfTheCache) {
  for (const QuatrainDType dtype : kTypes)
    for (const int dim : {16, 80, 128})
      ExpectAttendsLikeReference({.heads = Groups(2, 4),
                                  .dim = dim,
                                  .dtype = dtype,
                                  .block_size = 5,
                                  .sequences = {{74, 1}, {0, 1}, {5, 30}}},
                                 Of("type", dtype) + Of(" dim", dim));
}

SIMT_TEST(TypesOfTheCacheWithWideHeads) {
  for (const QuatrainDType dtype : kTypes)
    ExpectAttendsLikeReference({.heads = Groups(1, 8),
                                .dim = 256,
                                .dtype = dtype,
                                .sequences = {{40, 1}, {5, 6}}},
                               Of("type", dtype));
}

SIMT_TEST(DecodeStoresItsOwnTokens) {
  for (const QuatrainDType dtype : kTypes)
    for (const int count : {1, 4, 12})
      ExpectAttendsLikeReference(
          {.heads = Groups(2, count),
           .dtype = dtype,
           .sequences = {{0, 1}, {31, 1}, {32, 1}, {530, 1}},
           .padding = 2,
           .marked = {2},
           .stores = true},
          Of("type", dtype) + Of(" count", count));
}

// Slot 0 of block 0.
SIMT_TEST(TheFirstRowOfTheCache) {
  for (const QuatrainDType dtype : kTypes)
    for (const bool stores : {false, true})
      ExpectAttendsLikeReference({.heads = Groups(2, 2),
                                  .dtype = dtype,
                                  .sequences = {{0, 1}},
                                  .stores = stores},
                                 Of("type", dtype) + Of(" stores", stores));
}

SIMT_TEST(RotaryEmbeddings) {
  for (const int pairs : {0, 1, 6, 8})
    ExpectAttendsLikeReference({.heads = Groups(2, 2),
                                .pairs = pairs,
                                .rope_scaling = 1.1f,
                                .sequences = {{74, 1}, {5, 30}}},
                               Of("pairs", pairs));
}

SIMT_TEST(MarkedAndPaddingRows) {
  ExpectAttendsLikeReference({.heads = Groups(2, 2),
                              .sequences = {{40, 1}, {33, 1}, {5, 40}},
                              .padding = 3,
                              .marked = {1, 20}},
                             "marks and padding");
}

SIMT_TEST(ValuesThatAreNotFinite) {
  for (const QuatrainDType dtype : kTypes)
    for (const bool stores : {false, true})
      ExpectAttendsLikeReference(
          {.heads = Groups(2, 4),
           .dtype = dtype,
           .sequences = {{70, 1}, {530, 1}, {20, stores ? 1 : 35}, {3, 1}},
           .is_hard = true,
           .stores = stores},
          Of("type", dtype));
}

// What a row does not see must not be multiplied by zero.
SIMT_TEST(NotFiniteAndOutsideOfTheWindow) {
  for (const int window : {1, 17, 32})
    for (const int count : {1, 4})
      ExpectAttendsLikeReference({.heads = Groups(2, count),
                                  .window = window,
                                  .sequences = {{32, 1}, {30, 70}, {91, 9}},
                                  .is_hard = true},
                                 Of("window", window) + Of(" count", count));
}

// Neither the number of blocks nor their shared memory changes a bit, nor does
// splitting a row over blocks.
SIMT_TEST(DevicesOfEverySize) {
  for (const int compute_capability : {80, 86, 90})
    for (const int num_sms : {1, 3, 20})
      ExpectAttendsLikeReference(
          {.heads = Groups(1, 4),
           .dim = 64,
           .sequences = {{1030, 1}, {600, 1}, {520, 9}},
           .compute_capability = compute_capability,
           .num_sms = num_sms},
          Of("capability", compute_capability) + Of(" sms", num_sms), true);
}

SIMT_TEST(WideHeadsOnASmallDevice) {
  ExpectAttendsLikeReference({.heads = Groups(1, 8),
                              .dim = 256,
                              .dtype = kQuatrainF32,
                              .sequences = {{40, 1}, {33, 5}},
                              .compute_capability = 86},
                             "f32, 256");
}

// A step with many sequences, so that two blocks share an SM and nothing is
// split.
SIMT_TEST(ManySequences) {
  AttendCase c{.heads = Groups(2, 1), .num_sms = 1};
  for (int s = 0; s < 40; ++s) c.sequences.push_back({s * 7 % 90, 1});
  ExpectAttendsLikeReference(c, "singles");
  for (int s = 0; s < 40; s += 9) c.sequences[s].n = 1 + s % 5;
  ExpectAttendsLikeReference(c, "mixed");
}

SIMT_TEST(SharedMemoryFits) {
  std::vector<int> dims;
  for (int dim = 16; dim <= 256; dim += 16) dims.push_back(dim);
  ForAttendShapes(
      kTypes, dims, 0,
      [](const QuatrainAttendShape& shape, int list, int sequences) {
        const cuda::AttendLaunch launch =
            cuda::PlanAttend(shape, list, sequences);
        EXPECT(launch.shared.bytes <= SharedLimit(shape.compute_capability));
        EXPECT(launch.tile_warps >= 1 && launch.num_threads() <= 256);
        EXPECT(launch.rows.heads * launch.rows.head_parts >= shape.max_count);
      });
}

SIMT_TEST(BadOperandsAreRefused) {
  QuatrainAttendShape shape{.num_q_heads = 1,
                            .num_kv_heads = 1,
                            .head_dim = 12,
                            .kv_dtype = kQuatrainF16,
                            .num_uses = 1,
                            .max_count = 1,
                            .window = 0,
                            .max_tokens = 1,
                            .max_sequences = 1,
                            .compute_capability = 90,
                            .num_sms = 1,
                            .uses_mma = 0};
  size_t bytes = 0;
  EXPECT_EQ(Cuda().attend_bytes(&shape, &bytes), int{kQuatrainBadArgument});
  shape.head_dim = 40;
  EXPECT_EQ(Cuda().attend_bytes(&shape, &bytes), int{kQuatrainOk});
  shape.kv_dtype = kQuatrainInt8;
  EXPECT_EQ(Cuda().attend_bytes(&shape, &bytes), int{kQuatrainBadArgument});
  shape.kv_dtype = 99;
  EXPECT_EQ(Cuda().attend_bytes(&shape, &bytes), int{kQuatrainBadArgument});
  shape.kv_dtype = kQuatrainF16;
  shape.num_sms = 0;
  EXPECT_EQ(Cuda().attend_bytes(&shape, &bytes), int{kQuatrainBadArgument});
  shape.num_sms = 1;
  shape.uses_mma = 2;
  EXPECT_EQ(Cuda().attend_bytes(&shape, &bytes), int{kQuatrainBadArgument});
  shape.uses_mma = 1;  // which has no heads of 40
  EXPECT_EQ(Cuda().attend_bytes(&shape, &bytes), int{kQuatrainBadArgument});
  shape.uses_mma = 0;

  const QuatrainKvCache kv{.data = nullptr,
                           .scales = nullptr,
                           .dtype = kQuatrainF16,
                           .num_blocks = 1,
                           .block_size = 16,
                           .num_kv_heads = 1,
                           .head_dim = 40};
  QuatrainAttend attend = {};
  attend.shape = shape;
  attend.kv = kv;
  attend.lists = kQuatrainSingles | kQuatrainChunks;
  attend.stores = 1;
  EXPECT_EQ(Cuda().attend(&attend, nullptr), int{kQuatrainBadArgument});
  EXPECT(std::strstr(Cuda().message(), "store_kv()") != nullptr);
}

}  // namespace
}  // namespace quatrain
