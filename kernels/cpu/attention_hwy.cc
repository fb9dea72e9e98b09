// What:      attention of up to 32 query rows over one KV head of a paged pool;
//            rotation; the write of K and V.
// How:       tile by tile of 32 keys (attention_tile-inl.h). Scores: keys
//            across lanes, d ascending. Values: dims across lanes, keys
//            ascending. Tiles are merged into segments and segments into the
//            row's total, ascending (docs/numerics.md, 5).
// Compiled:  once per instruction set, by Highway.

#include "kernels/cpu/attention_kernels.h"
#include "kernels/cpu/hwy_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_hwy.cc"
#include <algorithm>
#include <cmath>
#include <cstring>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_softmax-inl.h"
#include "kernels/cpu/attention_tile-inl.h"
#include "kernels/cpu/kv_pool-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE
namespace {

namespace hn = hwy::HWY_NAMESPACE;

int Padded(int head_dim) { return (head_dim + 15) / 16 * 16; }

void Rotate(float* head, int half, const float* cos, const float* sin) {
  const F32 df;
  float* other = head + half;
  int i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const VF32 x = hn::LoadU(df, head + i), y = hn::LoadU(df, other + i);
    const VF32 c = hn::LoadU(df, cos + i), s = hn::LoadU(df, sin + i);
    hn::StoreU(hn::MulSub(x, c, hn::Mul(y, s)), df, head + i);
    hn::StoreU(hn::MulAdd(y, c, hn::Mul(x, s)), df, other + i);
  }
  for (; i < half; ++i) {
    const float x = head[i], y = other[i];
    head[i] = std::fma(x, cos[i], -(y * sin[i]));
    other[i] = std::fma(y, cos[i], x * sin[i]);
  }
}

// A task's part of the scratch memory.
struct Buffers {
  Buffers(std::byte* scratch, int head_dim)
      : width(Padded(head_dim)),
        keys(reinterpret_cast<float*>(scratch)),
        values(keys + kKeyTile * kMaxHeadDim),
        segment(values + kKeyTile * kMaxHeadDim),
        total(segment + kAttentionRows * kMaxHeadDim) {}

  const int width;
  float* keys;     // [head_dim, kKeyTile]
  float* values;   // [kKeyTile, width]
  float* segment;  // [kAttentionRows, width]
  float* total;    // [kAttentionRows, width]
};

// Widens the keys of [tile, tile + 32), up to end_key, block by block, for
// blocks or heads that are no whole vectors. Lanes past the end hold anything;
// nobody looks at them.
template <typename T>
KeyTile<float> WidenTile(const AttentionTask& task, int tile, int begin_key,
                         int end_key, const Buffers& buffers) {
  const KvLayer& kv = *task.kv;
  const int end = std::min(tile + kKeyTile, end_key);
  for (int j = std::max(tile, begin_key); j < end;) {
    const int offset = j % kv.block_size;
    const int run = std::min(kv.block_size - offset, tile + kKeyTile - j);
    const int64_t block = task.block_table[j / kv.block_size];
    const T* k = Plane<T>(kv, block, 0, task.kv_head) + offset;
    for (int d = 0; d < kv.head_dim; ++d)
      Widen(k + int64_t{d} * kv.block_size, run,
            buffers.keys + d * kKeyTile + (j - tile));
    const T* v = Plane<T>(kv, block, 1, task.kv_head) + offset * kv.head_dim;
    for (int i = 0; i < std::min(run, end - j); ++i)
      Widen(v + int64_t{i} * kv.head_dim, kv.head_dim,
            buffers.values + (j - tile + i) * buffers.width);
    j += run;
  }
  KeyTile<float> wide;
  wide.key_stride = kKeyTile;
  wide.value_stride = buffers.width;
  for (int v = 0; v < kTileVectors; ++v) {
    wide.keys[v] = buffers.keys + v * kLanes;
    wide.values[v] = buffers.values + v * kLanes * buffers.width;
  }
  return wide;
}

// All rows over the tile from `tile` on.
template <typename T>
void AttendKeys(const AttentionTask& task, int tile, const Buffers& buffers,
                State* states) {
  int begin = tile + kKeyTile, end = tile;
  for (int r = 0; r < task.num_rows; ++r) {
    if (task.begin_key[r] >= tile + kKeyTile || task.end_key[r] <= tile)
      continue;
    begin = std::min(begin, task.begin_key[r]);
    end = std::max(end, task.end_key[r]);
  }
  if (begin >= end) return;
  const int dim = task.kv->head_dim;
  const bool whole_vectors =
      task.kv->block_size % kLanes == 0 && dim % kLanes == 0;
  if (whole_vectors) {
    const int ahead = tile + kKeyTile < end ? tile + kKeyTile : tile;
    const KeyTile<T> next = PoolTile<T>(task, ahead, begin, end);
    return AttendTile<T>(task, tile, PoolTile<T>(task, tile, begin, end), &next,
                         {states, buffers.segment, buffers.width, dim});
  }
  AttendTile<float>(task, tile, WidenTile<T>(task, tile, begin, end, buffers),
                    nullptr,
                    {states, buffers.segment, buffers.width, buffers.width});
}

void WritePartial(const State& state, const float* values, int n, float* to) {
  to[0] = state.max;
  to[1] = state.sum;
  to[2] = state.any ? 1.0f : 0.0f;
  to[3] = 0.0f;
  if (state.any) std::memcpy(to + kPartialHeader, values, n * sizeof(float));
}

template <typename T>
void Attend(const AttentionTask& task) {
  const int dim = task.kv->head_dim;
  const Buffers buffers(task.scratch, dim);
  State total[kAttentionRows];
  int begin = task.begin_key[0], end = task.end_key[0];
  for (int r = 1; r < task.num_rows; ++r) {
    begin = std::min(begin, task.begin_key[r]);
    end = std::max(end, task.end_key[r]);
  }
  begin =
      std::max(begin / kKeyTile * kKeyTile, task.first_segment * kKeySegment);
  end = std::min(end, task.end_segment * kKeySegment);
  for (int s = begin / kKeySegment * kKeySegment; s < end; s += kKeySegment) {
    State segment[kAttentionRows];
    for (int tile = std::max(s, begin); tile < std::min(s + kKeySegment, end);
         tile += kKeyTile)
      AttendKeys<T>(task, tile, buffers, segment);
    for (int r = 0; r < task.num_rows; ++r)
      MergeState(segment[r], buffers.segment + r * buffers.width, buffers.width,
                 total[r], buffers.total + r * buffers.width);
  }
  for (int r = 0; r < task.num_rows; ++r) {
    const float* values = buffers.total + r * buffers.width;
    if (task.out[r] != nullptr)
      Divide(values, total[r].sum, dim, task.out[r]);
    else
      WritePartial(total[r], values, dim, task.partial[r]);
  }
}

void Merge(const float* partials, int count, int stride, int head_dim,
           float* out) {
  State total;
  alignas(64) float values[kMaxHeadDim], later[kMaxHeadDim];
  const int width = Padded(head_dim);
  for (int i = 0; i < count; ++i, partials += stride) {
    const State state{partials[0], partials[1], partials[2] != 0.0f};
    std::memcpy(later, partials + kPartialHeader, head_dim * sizeof(float));
    std::fill(later + head_dim, later + width, 0.0f);
    MergeState(state, later, width, total, values);
  }
  Divide(values, total.sum, head_dim, out);
}

template <typename T>
constexpr AttentionKernels kTable = {Rotate, Store<T>, Attend<T>, Merge};

}  // namespace

const AttentionKernels& GetAttentionKernels(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return kTable<hwy::float16_t>;
    case DType::kBF16:
      return kTable<hwy::bfloat16_t>;
    default:
      return kTable<float>;
  }
}

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/cpu/choose_target.h"

namespace quatrain {

const AttentionKernels& AttentionKernelsFor(Isa isa, DType kv_dtype) {
  QUATRAIN_CHOOSE_TARGET(GetAttentionKernels(kv_dtype));
}

}  // namespace quatrain
#endif  // HWY_ONCE
