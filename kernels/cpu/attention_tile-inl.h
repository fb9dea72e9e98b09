// Some query rows over one tile of 32 keys: scores, softmax, values, and what
// they add to the rows' segments (docs/numerics.md, 5). Each key and value is
// loaded once for up to kMaxRows rows. Included once per instruction set.

#if defined(QUATRAIN_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUATRAIN_ATTENTION_TILE_INL_H_
#undef QUATRAIN_ATTENTION_TILE_INL_H_
#else
#define QUATRAIN_ATTENTION_TILE_INL_H_
#endif

#include <algorithm>

#include "hwy/highway.h"
#include "kernels/cpu/attention_softmax-inl.h"
#include "kernels/cpu/hwy_targets.h"
#include "kernels/cpu/kv_pool-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Sums in registers: of rows times the vectors of a tile's keys, or times some
// vectors of dims.
constexpr int kSums = kLanes >= 16 ? 16 : 8;
constexpr int kMaxRows = std::max(1, kSums / kTileVectors);

// Where 32 keys and values stand, in groups of kLanes.
template <typename T>
struct KeyTile {
  const T* keys[kTileVectors];    // of dim 0; the next dim is key_stride on
  const T* values[kTileVectors];  // of the first key; the next value_stride on
  int key_stride = 0;
  int value_stride = 0;

  const T* value(int j) const {
    return values[j / kLanes] + j % kLanes * value_stride;
  }
};

// In the pool, where kLanes divides block_size. Groups outside of [begin, end)
// repeat the nearest one inside: their blocks may be gone, or not there yet.
template <typename T>
HWY_INLINE KeyTile<T> PoolTile(const AttentionTask& task, int tile, int begin,
                               int end) {
  const KvLayer& kv = *task.kv;
  KeyTile<T> at;
  at.key_stride = kv.block_size;
  at.value_stride = kv.head_dim;
  for (int v = 0; v < kTileVectors; ++v) {
    const int key =
        std::clamp(tile + v * kLanes, begin / kLanes * kLanes, end - 1);
    const int64_t block = task.block_table[key / kv.block_size];
    const int offset = key % kv.block_size / kLanes * kLanes;
    at.keys[v] = Plane<T>(kv, block, 0, task.kv_head) + offset;
    at.values[v] =
        Plane<T>(kv, block, 1, task.kv_head) + int64_t{offset} * kv.head_dim;
  }
  return at;
}

// Asks for a cache line, into the second level: the first has no room for what
// comes next.
HWY_INLINE void Ask(const void* line) { __builtin_prefetch(line, 0, 2); }

// scores[r][32] of kRows rows, before the scale. next: asked for, or null.
template <int kRows, typename T>
HWY_INLINE void TileScores(const KeyTile<T>& tile, const KeyTile<T>* next,
                           int head_dim, const float* const* q,
                           float (*scores)[kKeyTile]) {
  const F32 df;
  VF32 sum[kRows][kTileVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kTileVectors; ++v) sum[r][v] = hn::Zero(df);
  for (int d = 0; d < head_dim; ++d) {
    const ptrdiff_t at = ptrdiff_t{d} * tile.key_stride;
    for (int v = 0; v < kTileVectors; ++v) {
      if (next != nullptr) Ask(next->keys[v] + at);
      const VF32 k = LoadF32(df, tile.keys[v] + at);
      for (int r = 0; r < kRows; ++r)
        sum[r][v] = hn::MulAdd(hn::Set(df, q[r][d]), k, sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kTileVectors; ++v)
      hn::Store(sum[r][v], df, scores[r] + v * kLanes);
}

// The visible keys of a tile.
struct KeyRange {
  int first = 0, last = 0;
  bool operator==(const KeyRange&) const = default;
};

// Adds p[r][j] * v_j over the visible keys, for kV vectors of dims from d on,
// and merges the sums into out[r], `width` apart, where there is something.
template <int kRows, int kV, typename T>
HWY_INLINE void TileValues(const KeyTile<T>& tile, const KeyTile<T>* next,
                           int d, const float (*p)[kKeyTile], KeyRange range,
                           const Weights* merge, float* out, int width) {
  const F32 df;
  VF32 sum[kRows][kV];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kV; ++v) sum[r][v] = hn::Zero(df);
  for (int j = range.first; j < range.last; ++j) {
    const T* values = tile.value(j) + d;
    for (int v = 0; v < kV; ++v) {
      if (next != nullptr && v * kLanes * sizeof(T) % 64 == 0)
        Ask(next->value(j) + d + v * kLanes);
      const VF32 value = LoadF32(df, values + v * kLanes);
      for (int r = 0; r < kRows; ++r)
        sum[r][v] = hn::MulAdd(hn::Set(df, p[r][j]), value, sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* to = out + r * width + d;
    for (int v = 0; v < kV; ++v, to += kLanes) {
      if (merge != nullptr)
        sum[r][v] = hn::MulAdd(hn::LoadU(df, to), hn::Set(df, merge[r].earlier),
                               hn::Mul(sum[r][v], hn::Set(df, merge[r].later)));
      hn::StoreU(sum[r][v], df, to);
    }
  }
}

// What the rows of a task have of a segment: states, and values [rows, width].
// The first `columns` of width are dims, whole vectors.
struct Segment {
  State* states;
  float* values;
  int width;
  int columns;
};

// kRows rows from `row` on, which see the same keys of the tile and all have,
// or all have not, met others of the segment.
template <int kRows, typename T>
void AttendRows(const AttentionTask& task, int row, KeyRange range,
                const KeyTile<T>& tile, const KeyTile<T>* next,
                const Segment& segment) {
  constexpr int kV = std::min(8, kSums / kRows);
  alignas(64) float scores[kRows][kKeyTile];
  TileScores<kRows>(tile, next, task.kv->head_dim, task.q + row, scores);
  State* states = segment.states + row;
  Weights weights[kRows];
  const Weights* merge = states[0].any ? weights : nullptr;
  State of_tile[kRows];
  for (int r = 0; r < kRows; ++r)
    of_tile[r] = Softmax(task.scale, range.first, range.last, scores[r]);
  if (merge != nullptr)
    MergeNumbers<kRows>(of_tile, states, weights);
  else
    std::copy_n(of_tile, kRows, states);
  float* values = segment.values + row * segment.width;
  int d = 0;
  for (; d + kV * kLanes <= segment.columns; d += kV * kLanes)
    TileValues<kRows, kV>(tile, next, d, scores, range, merge, values,
                          segment.width);
  for (; d < segment.columns; d += kLanes)
    TileValues<kRows, 1>(tile, next, d, scores, range, merge, values,
                         segment.width);
}

inline KeyRange VisibleKeys(const AttentionTask& task, int row, int tile) {
  return {std::max(task.begin_key[row] - tile, 0),
          std::min(task.end_key[row] - tile, kKeyTile)};
}

// As many of `same` rows from `row` on as a pass takes: 8, 4, 2 or 1.
template <int kRows, typename T>
int AttendSome(const AttentionTask& task, int row, int same, KeyRange range,
               const KeyTile<T>& tile, const KeyTile<T>* next,
               const Segment& segment) {
  if (same >= kRows) {
    AttendRows<kRows>(task, row, range, tile, next, segment);
    return kRows;
  }
  if constexpr (kRows > 1)
    return AttendSome<kRows / 2>(task, row, same, range, tile, next, segment);
  return 1;
}

// All rows of a task over one tile. The first pass asks for the next one.
template <typename T>
void AttendTile(const AttentionTask& task, int first_key,
                const KeyTile<T>& tile, const KeyTile<T>* next,
                const Segment& segment) {
  for (int row = 0; row < task.num_rows;) {
    const KeyRange range = VisibleKeys(task, row, first_key);
    int same = 1;
    while (same < kMaxRows && row + same < task.num_rows &&
           VisibleKeys(task, row + same, first_key) == range &&
           segment.states[row + same].any == segment.states[row].any)
      ++same;
    if (range.first >= range.last) {
      row += same;
      continue;
    }
    row += AttendSome<kMaxRows>(task, row, same, range, tile, next, segment);
    next = nullptr;
  }
}

}  // namespace
#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#endif  // QUATRAIN_ATTENTION_TILE_INL_H_
