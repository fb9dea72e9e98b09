#include "kernels/cpu/scratch.h"

#include "gtest/gtest.h"
#include "kernels/cpu/int4_panel.h"
#include "tests/support/random.h"

namespace quatrain {
namespace {

// What chunks are cut to always fits what was allocated for them.
TEST(ScratchTest, ChunksFitTheirMemory) {
  for (const int cols : {1, 7, 63, 64, 65, 700, 2512, 4096}) {
    for (const int group : {1, 8, 16, 32, 64, 100, 128}) {
      const BlockList list(BlockEnds(cols, group));
      for (const int tokens : {1, 2, 15, 16, 17, 33, 64, 100, 128, 512}) {
        const ScratchShape shape(tokens, {.input = cols}, 2);
        const int64_t room = shape.per_thread - shape.digits;
        const int passes = shape.RowsOf(list);
        EXPECT_GE(passes, 1);
        EXPECT_LE(passes, std::min(tokens, kPassRows));
        EXPECT_LE(passes * DigitRowBytes(list), room);
        for (const int digits : {1, 2}) {
          const int rows = shape.PanelRowsOf(list, digits);
          EXPECT_LE(rows, std::min(tokens, kChunkRows));
          if (rows == 0) continue;
          EXPECT_LE(PanelRowBytes(list, rows, digits), room)
              << cols << " in groups of " << group << ", " << tokens;
          const int unit = UnitRows(digits);
          EXPECT_LE(
              PanelWorkspace(nullptr, (rows + unit - 1) / unit * unit).bytes,
              shape.thread_bytes);
          EXPECT_LE(DigitRowBytes(list), shape.thread_bytes);
        }
      }
    }
  }
}

TEST(ScratchTest, ShortBlocksMakeShorterChunks) {
  const ScratchShape shape(512, {.input = 4096}, 1);
  EXPECT_EQ(shape.PanelRowsOf(BlockList(BlockEnds(4096, 128)), 2), kChunkRows);
  const int rows = shape.PanelRowsOf(BlockList(BlockEnds(4096, 32)), 2);
  EXPECT_GE(rows, 16);
  EXPECT_LT(rows, kChunkRows);
}

}  // namespace
}  // namespace quatrain
