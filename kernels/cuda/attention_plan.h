#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/table.h"
#include "kernels/cuda/table_attention.h"

// How attention is divided over blocks, warps and shared memory: pure
// functions, without CUDA. None of it changes a bit of what exact attention
// gives.
namespace quatrain::cuda {

constexpr int kAttendTile = 32;      // keys; docs/numerics.md, 5
constexpr int kAttendSegment = 512;  // keys
constexpr int kTilesPerSegment = kAttendSegment / kAttendTile;
constexpr int kAttendMaxWarps = 8;

// Bytes of shared memory of an SM, and what each block costs besides its own.
int SmBytes(int compute_capability);
constexpr int kBlockOverhead = 1024;
// Bytes between two buffers of shared memory, for simt::kRedzone; 0.6 KiB in
// all.
constexpr uint32_t kSharedGap = 64;

// From one row of K to the next in shared memory: an odd number of 16 bytes, so
// that the 8 rows that lanes (or ldmatrix) read together lie in different
// banks.
constexpr int KeyStride(int row_bytes) { return (row_bytes / 16 | 1) * 16; }

constexpr int CeilDiv(int a, int b) { return (a + b - 1) / b; }

// Singles and chunks are two lists of work with a shape of their own each.
enum AttendListIndex { kSingles = 0, kChunks = 1, kNumAttendLists = 2 };

// A piece of work, for every use of a KV head and part of its query heads: some
// tokens of one sequence over the segments [first_segment, end_segment).
struct WorkEntry {
  int32_t sequence;
  int32_t first_token;
  int32_t num_tokens;
  int32_t first_segment;
  int32_t end_segment;
  int32_t split;  // this is part `split` of num_splits
  int32_t num_splits;
  int32_t slot;  // where its state goes, if num_splits > 1
};

// A piece has up to `total` rows, a row being a query head of a token. Warp w
// computes tile w / row_warps of those in hand, for row group w % row_warps.
struct AttendRows {
  int rows;  // of a warp: 1, 4 or 8; 16 on tensor cores
  int row_warps;
  int total;       // at most rows * row_warps
  int heads;       // query heads of one KV head in a piece, at most
  int head_parts;  // pieces that the heads of one KV head need
  int tokens;      // in a piece, at most
};

// Dynamic shared memory: where each buffer begins, in bytes, and its size.
struct AttendShared {
  struct Buffer {
    uint32_t offset, bytes;
  };
  Buffer keys;      // [tile_warps][32][key_stride]
  Buffer values;    // [tile_warps][32][row_bytes]
  Buffer partials;  // f32 [tile_warps][rows][head_dim]: o of the tiles in hand
  Buffer sums;      // f32 [2][tile_warps][rows]: m, l
  Buffer weights;   // f32 [tile_warps][rows][2]: a, b
  Buffer queries;   // f32 [rows][head_dim], rotated
  Buffer scores;    // f32 [warps][rows of a warp + 1][32]: p, scales of V
  Buffer segment;   // f32 [rows][head_dim], then m [rows], l [rows]
  Buffer total;     // the same
  Buffer ranges;    // i32 [rows][2]: the keys that a row sees
  Buffer flag;      // i32
  uint32_t bytes;
  int key_stride;  // KeyStride()
  int row_bytes;
};

// Lays buffers one after the other, `gap` bytes after each.
class SharedBuilder {
 public:
  explicit SharedBuilder(uint32_t gap = kSharedGap) : gap_(gap) {}

  AttendShared::Buffer Add(size_t bytes) {
    const uint32_t rounded = (static_cast<uint32_t>(bytes) + 15) / 16 * 16;
    const AttendShared::Buffer buffer{bytes_, rounded};
    bytes_ += rounded + gap_;
    return buffer;
  }
  uint32_t bytes() const { return bytes_; }

 private:
  const uint32_t gap_;
  uint32_t bytes_ = 0;
};

struct AttendLaunch {
  AttendRows rows;
  int tile_warps;
  AttendShared shared;
  int num_blocks;
  int num_threads() const { return rows.row_warps * tile_warps * 32; }
};

// Where things lie in QuatrainAttendWork::work.
struct AttendScratch {
  struct List {
    size_t entries;   // WorkEntry[]
    size_t counters;  // i32 [num_slots][pieces of an entry]
    size_t slots;     // f32 [num_slots][pieces of an entry][slot_floats]
    int num_slots;
    int pieces;          // of an entry: uses * head_parts
    size_t slot_floats;  // rows * (head_dim + 2): o, then m, then l
  };
  size_t num_entries;  // i32 [2]
  List lists[kNumAttendLists];
  size_t bytes;
};

// nullptr, or what this attention cannot do.
const char* CheckAttendShape(const QuatrainAttendShape& shape);

int CacheElementBytes(int dtype);  // 0: not a type of the cache

// Of the entry that the shape names; PlanAttend() is for attend(),
// PlanAttendMma() in attention_mma_plan.h for attend_mma().
AttendRows PlanAttendRows(const QuatrainAttendShape& shape, int list);
AttendLaunch PlanAttend(const QuatrainAttendShape& shape, int list,
                        int num_sequences);
AttendScratch PlanAttendScratch(const QuatrainAttendShape& shape);

// Pieces of work that a step should have, so that no block waits long for
// another's last.
int WantedPieces(const QuatrainAttendShape& shape);

}  // namespace quatrain::cuda
