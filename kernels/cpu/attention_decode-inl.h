// Attention of the few query rows of one token over one KV head: keys and
// values are widened in registers, on their way into the products, and each is
// read once for up to kDecodeRows rows. The same sums in the same order as in
// attention_hwy.cc, which keeps widened tiles in memory for many rows. Included
// once per instruction set.

#if defined(QUATRAIN_ATTENTION_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUATRAIN_ATTENTION_DECODE_INL_H_
#undef QUATRAIN_ATTENTION_DECODE_INL_H_
#else
#define QUATRAIN_ATTENTION_DECODE_INL_H_
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

// Rows of one pass over a tile: sums for all its keys, or for kV vectors of
// dims, must fit the registers.
constexpr int kSums = kLanes >= 16 ? 16 : 8;
constexpr int kDecodeRows = kSums / kTileVectors > 0 ? kSums / kTileVectors : 1;

// Where the keys and values of one tile of 32 keys stand: kLanes keys never
// lie in two blocks.
template <typename T>
struct TilePointers {
  const T* keys[kTileVectors];    // kLanes keys of dim 0
  const T* values[kTileVectors];  // the first of kLanes values

  // Keys past the block of the last one, end - 1, repeat its place.
  TilePointers(const AttentionTask& task, int tile, int end) {
    const KvLayer& kv = *task.kv;
    for (int v = 0; v < kTileVectors; ++v) {
      const int key = std::min(tile + v * kLanes, end - 1);
      const int64_t block = task.block_table[key / kv.block_size];
      const int offset = key % kv.block_size / kLanes * kLanes;
      keys[v] = Plane<T>(kv, block, 0, task.kv_head) + offset;
      values[v] = Plane<T>(kv, block, 1, task.kv_head) + offset * kv.head_dim;
    }
  }

  const T* value(int j, int head_dim) const {
    return values[j / kLanes] + j % kLanes * head_dim;
  }
};

// Whether the pool and the rows fit: whole vectors everywhere, and all rows see
// the same keys.
inline bool CanDecode(const AttentionTask& task) {
  if (task.kv->block_size % kLanes != 0 || task.kv->head_dim % kLanes != 0)
    return false;
  for (int r = 1; r < task.num_rows; ++r)
    if (task.begin_key[r] != task.begin_key[0] ||
        task.end_key[r] != task.end_key[0])
      return false;
  return true;
}

// scores[r][32] of kRows rows, before the scale.
template <int kRows, typename T>
HWY_INLINE void DecodeScores(const TilePointers<T>& tile,
                             const TilePointers<T>& next, const KvLayer& kv,
                             const float* const* q, float (*scores)[kKeyTile]) {
  const F32 df;
  VF32 sum[kRows][kTileVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kTileVectors; ++v) sum[r][v] = hn::Zero(df);
  for (int d = 0; d < kv.head_dim; ++d) {
    const int64_t at = int64_t{d} * kv.block_size;
    for (int v = 0; v < kTileVectors; ++v) {
      __builtin_prefetch(next.keys[v] + at, 0, 2);
      const VF32 k = LoadF32(df, tile.keys[v] + at);
      for (int r = 0; r < kRows; ++r)
        sum[r][v] = hn::MulAdd(hn::Set(df, q[r][d]), k, sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kTileVectors; ++v)
      hn::Store(sum[r][v], df, scores[r] + v * kLanes);
}

// Adds p[r][j] * v_j over keys [first, last) for kV vectors of dims from d on,
// and merges the sums into out[r], `width` apart, where there is something.
template <int kRows, int kV, typename T>
HWY_INLINE void DecodeValues(const TilePointers<T>& tile,
                             const TilePointers<T>& next, int dim, int d,
                             const float (*p)[kKeyTile], int first, int last,
                             const Weights* merge, float* out, int width) {
  const F32 df;
  VF32 sum[kRows][kV];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kV; ++v) sum[r][v] = hn::Zero(df);
  for (int j = first; j < last; ++j) {
    const T* values = tile.value(j, dim) + d;
    const T* next_values = next.value(j, dim) + d;
    for (int v = 0; v < kV; ++v) {
      if (v * kLanes * sizeof(T) % 64 == 0)
        __builtin_prefetch(next_values + v * kLanes, 0, 2);
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

// kRows rows, from `row` on, over one tile; segment, values: of those rows.
template <int kRows, typename T>
void DecodeRows(const AttentionTask& task, int tile, int row,
                const TilePointers<T>& here, const TilePointers<T>& next,
                State* segment, float* values, int width) {
  constexpr int kV = kSums / kRows > 8 ? 8 : kSums / kRows;
  const int first = std::max(task.begin_key[0] - tile, 0);
  const int last = std::min(task.end_key[0] - tile, kKeyTile);
  alignas(64) float scores[kRows][kKeyTile];
  DecodeScores<kRows>(here, next, *task.kv, task.q + row, scores);
  Weights weights[kRows];
  const bool merge = segment[0].any;
  for (int r = 0; r < kRows; ++r) {
    const State state = Softmax(task.scale, first, last, scores[r]);
    if (merge)
      weights[r] = MergeNumbers(state, segment[r]);
    else
      segment[r] = state;
  }
  const Weights* w = merge ? weights : nullptr;
  const int dim = task.kv->head_dim;
  int d = 0;
  for (; d + kV * kLanes <= dim; d += kV * kLanes)
    DecodeValues<kRows, kV>(here, next, dim, d, scores, first, last, w, values,
                            width);
  for (; d < dim; d += kLanes)
    DecodeValues<kRows, 1>(here, next, dim, d, scores, first, last, w, values,
                           width);
}

// All rows over one tile that has visible keys; end_key: of the task.
template <typename T>
void DecodeTile(const AttentionTask& task, int tile, int end_key,
                State* segment, float* values, int width) {
  const TilePointers<T> here(task, tile, end_key);
  const int ahead = tile + kKeyTile < end_key ? tile + kKeyTile : tile;
  const TilePointers<T> next(task, ahead, end_key);
  int r = 0;
  const auto rows = [&]<int kRows>() HWY_ATTR {
    for (; r + kRows <= task.num_rows; r += kRows)
      DecodeRows<kRows>(task, tile, r, here, next, segment + r,
                        values + r * width, width);
  };
  rows.template operator()<kDecodeRows>();
  if constexpr (kDecodeRows > 4) rows.template operator()<4>();
  if constexpr (kDecodeRows > 2) rows.template operator()<2>();
  rows.template operator()<1>();
}

}  // namespace
#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#endif  // QUATRAIN_ATTENTION_DECODE_INL_H_
