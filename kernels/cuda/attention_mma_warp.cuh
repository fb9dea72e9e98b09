#pragma once

#include <cstdint>

#include "kernels/cuda/attention_merge.cuh"
#include "kernels/cuda/attention_mma_load.cuh"
#include "kernels/cuda/attention_mma_plan.h"
#include "kernels/cuda/attention_mma_type.cuh"
#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/row_exponent.cuh"
#include "kernels/cuda/simt.h"

// The 16 rows of a warp: their queries, and the softmax over the keys so far.
namespace quatrain::cuda {

__device__ __forceinline__ float LowestScore() {
  return -__uint_as_float(0x7f800000u);
}

// Lane 4g + t holds rows g and g + 8: of scores keys 8n + 2t and the next, of
// outputs what Type::Store() says.
template <typename Cache, int kDim>
class MmaWarp {
 public:
  using Type = MmaType<Cache>;
  static constexpr int kSteps = kDim / 16;
  static constexpr int kRowBytes = kDim * Cache::kBytes;
  static constexpr int kStride = KeyStride(kRowBytes);
  // More would not fit in registers beside the outputs.
  static constexpr bool kHoldsQueries =
      Cache::kBytes == 2 ? kDim <= 128 : kDim < 128;

  // After the queries and a barrier.
  __device__ __forceinline__ MmaWarp(const Piece& piece,
                                     const AttendBuffers& buffers, int row_warp)
      : queries_(reinterpret_cast<const uint4*>(buffers.queries) +
                 row_warp * kSteps * 32 + Lane()),
        ranges_(buffers.ranges + row_warp * kMmaRows),
        first_row_(row_warp * kMmaRows),
        is_idle_(first_row_ >= piece.num_rows),
        sees_alike_(piece.entry.num_tokens == 1) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = Lane() / 4 + 8 * i;
      factor_[i] = buffers.scores[first_row_ + row];
      m_[i] = LowestScore();
      l_[i] = 0.0f;
      unit_[i] = 1;
    }
#pragma unroll
    for (int n = 0; n < 2 * kSteps; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) o_[n][i] = 0.0f;
    if constexpr (kHoldsQueries) {
#pragma unroll
      for (int k = 0; k < kSteps; ++k) q_[k] = queries_[k * 32];
    }
  }

  // Takes in the keys of a tile.
  __device__ __forceinline__ void Add(int index, const MmaTile& tile) {
    if (is_idle_) return;
    const int begin = index * kAttendTile;
    const int2 first = ranges_[0];
    const int2 last = ranges_[kMmaRows - 1];
    if (first.x >= begin + kAttendTile || last.y <= begin) return;
    const bool is_full = last.x <= begin && first.y >= begin + kAttendTile;
    float s[kKeyTiles][4];
    Scores(tile.keys, s);
    if constexpr (Cache::kScaled) ScaleScores(tile.scales, s);
    if (!is_full) Hide(begin, LowestScore(), s);
    float rescale[2];
    Weigh(s, rescale);
    if constexpr (Cache::kScaled)
      ScaleWeights(begin, !is_full && !sees_alike_, tile.scales + kAttendTile,
                   s, rescale);
    Rescale(rescale);
    uint32_t p[kValueTiles][4];
#pragma unroll
    for (int k = 0; k < kValueTiles; ++k) {
      p[k][0] = Type::Pack(s[2 * k][0], s[2 * k][1]);
      p[k][1] = Type::Pack(s[2 * k][2], s[2 * k][3]);
      p[k][2] = Type::Pack(s[2 * k + 1][0], s[2 * k + 1][1]);
      p[k][3] = Type::Pack(s[2 * k + 1][2], s[2 * k + 1][3]);
    }
    // A value that a row does not see must not be multiplied by its zero, if
    // it is not finite. What no row sees has been zeroed by the loader.
    if constexpr (Type::kHasNotFinite)
      if (!is_full && !sees_alike_ && HasNotFinite(tile.values))
        return AddVisibleValues(begin, tile.values, p);
    AddValues(tile.values, p);
  }

  // The outputs, where this warp has seen all keys of its rows.
  __device__ __forceinline__ void Store(const AttendArguments& args,
                                        const Piece& piece) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      // l is at least about 1, or 0 or NaN, and both make NaN.
      const float inverse = __fdiv_rn(1.0f, Sum(i));
      const int row = first_row_ + Lane() / 4 + 8 * i;
      if (row >= piece.num_rows) continue;
      const int token = piece.entry.first_token + row / piece.heads;
      const int head = piece.first_head + row % piece.heads;
      float* const out = args.out + token * args.out_stride +
                         static_cast<int64_t>(head) * kDim;
#pragma unroll
      for (int n = 0; n < kSteps; ++n)
        Type::Store(Outputs(2 * n, i, inverse), Outputs(2 * n + 1, i, inverse),
                    out + 16 * n);
    }
  }

  // The state in natural logarithms, as attention_state.cuh has it.
  __device__ __forceinline__ void Leave(int num_rows, const States& to) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float l = Sum(i);
      const int row = first_row_ + Lane() / 4 + 8 * i;
      if (row >= num_rows) continue;
      // Scores of -infinity alone are as good as none; a NaN leaves l NaN.
      const bool has_keys = !(m_[i] == LowestScore() && l == 0.0f);
      const float m = has_keys ? __fmul_rn(m_[i], 0.693147182f) : NoKeys();
      if (Lane() % 4 == 0) {
        to.m[row] = m;
        to.l[row] = l;
      }
      float* const o = to.o + row * kDim;
#pragma unroll
      for (int n = 0; n < kSteps; ++n)
        Type::Store(Sums(2 * n, i), Sums(2 * n + 1, i), o + 16 * n);
    }
  }

 private:
  __device__ static __forceinline__ int Lane() {
    return static_cast<int>(threadIdx.x % 32);
  }

  // Of accumulator n and row i, in the units of V.
  __device__ __forceinline__ float2 Sums(int n, int i) const {
    const float2 o = make_float2(o_[n][2 * i], o_[n][2 * i + 1]);
    if constexpr (Cache::kScaled) {
      const float unit = PowerOfTwo(unit_[i]);
      return make_float2(__fmul_rn(o.x, unit), __fmul_rn(o.y, unit));
    } else {
      return o;
    }
  }
  __device__ __forceinline__ float2 Outputs(int n, int i, float inverse) const {
    const float2 o = Sums(n, i);
    return make_float2(Output(o.x, inverse), Output(o.y, inverse));
  }
  __device__ static __forceinline__ float Output(float o, float inverse) {
    const float x = __fmul_rn(o, inverse);
    return x == x ? x : NotANumber();
  }

  // Of a row's weights, over its four lanes.
  __device__ __forceinline__ float Sum(int i) const {
    float l = l_[i];
    l = __fadd_rn(l, __shfl_xor_sync(~0u, l, 1));
    return __fadd_rn(l, __shfl_xor_sync(~0u, l, 2));
  }

  __device__ __forceinline__ void Query(int k, uint32_t (&a)[4]) const {
    uint4 words;
    if constexpr (kHoldsQueries)
      words = q_[k];
    else
      words = queries_[k * 32];
    a[0] = words.x;
    a[1] = words.y;
    a[2] = words.z;
    a[3] = words.w;
  }

  __device__ __forceinline__ void Scores(const unsigned char* keys,
                                         float (&s)[kKeyTiles][4]) const {
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) s[n][i] = 0.0f;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t a[4];
      Query(step, a);
      Type::template Keys<kStride>(
          keys, step,
          [&](int n, const uint32_t(&b)[2]) { Type::Mma(s[n], a, b); });
    }
  }

  // Times the scale of K and the row's factor, which so leaves Weigh().
  __device__ __forceinline__ void ScaleScores(const float* scales,
                                              float (&s)[kKeyTiles][4]) const {
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
      const float2 scale = ScalesOf(scales, n);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        s[n][2 * i] = __fmul_rn(s[n][2 * i], __fmul_rn(factor_[i], scale.x));
        s[n][2 * i + 1] =
            __fmul_rn(s[n][2 * i + 1], __fmul_rn(factor_[i], scale.y));
      }
    }
  }

  // Of this lane's keys.
  __device__ static __forceinline__ float2 ScalesOf(const float* scales,
                                                    int n) {
    return *reinterpret_cast<const float2*>(scales + 8 * n + Lane() % 4 * 2);
  }
  __device__ static __forceinline__ int KeyOf(int begin, int n) {
    return begin + 8 * n + Lane() % 4 * 2;
  }

  // Puts `hidden` where a row does not see a key.
  __device__ __forceinline__ void Hide(int begin, float hidden,
                                       float (&s)[kKeyTiles][4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int2 range = ranges_[Lane() / 4 + i / 2 * 8];
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n) {
        if (!IsIn(range, KeyOf(begin, n) + i % 2)) s[n][i] = hidden;
      }
    }
  }

  // From scores to weights, and what the state so far is to be multiplied by.
  __device__ __forceinline__ void Weigh(float (&s)[kKeyTiles][4],
                                        float (&rescale)[2]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float m = LowestScore();  // fmaxf passes a NaN over
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
        m = fmaxf(m, fmaxf(s[n][2 * i], s[n][2 * i + 1]));
      m = fmaxf(m, __shfl_xor_sync(~0u, m, 1));
      m = fmaxf(m, __shfl_xor_sync(~0u, m, 2));
      // A power of two, and so exact.
      const float factor = Cache::kScaled ? 1.0f : factor_[i];
      m = fmaxf(m_[i], __fmul_rn(m, factor));
      const float base = m == LowestScore() ? 0.0f : m;
      rescale[i] = ptx::ex2_approx(__fsub_rn(m_[i], base));
      m_[i] = m;
      float l = 0.0f;
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
        for (int e = 2 * i; e < 2 * i + 2; ++e) {
          s[n][e] = ptx::ex2_approx(__fmaf_rn(s[n][e], factor, -base));
          l = __fadd_rn(l, s[n][e]);
        }
      l_[i] = __fmaf_rn(l_[i], rescale[i], l);
    }
  }

  // Times the scales of V, in units of the power of two that brings the largest
  // scale that the row has seen to [2^14, 2^15): f16 has few bits left below
  // 2^-14. is_masked: some row does not see a scale that another does, and it
  // must not count there.
  __device__ __forceinline__ void ScaleWeights(int begin, bool is_masked,
                                               const float* scales,
                                               float (&s)[kKeyTiles][4],
                                               float (&rescale)[2]) {
    const uint32_t of_all =
        __reduce_max_sync(~0u, __float_as_uint(scales[Lane()]));
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32_t largest =
          is_masked ? LargestSeen(begin, scales, i) : of_all;
      const int unit = max(unit_[i], static_cast<int>(largest >> 23) - 14);
      const float down = PowerOfTwo(254 - unit);
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n) {
        const float2 scale = ScalesOf(scales, n);
        s[n][2 * i] = __fmul_rn(s[n][2 * i], __fmul_rn(scale.x, down));
        s[n][2 * i + 1] = __fmul_rn(s[n][2 * i + 1], __fmul_rn(scale.y, down));
      }
      rescale[i] =
          __fmul_rn(rescale[i], PowerOfTwo(max(unit_[i] - unit + 127, 0)));
      unit_[i] = unit;
    }
    if (is_masked) Hide(begin, 0.0f, s);
  }

  // The largest scale that row i of this lane sees, as bits.
  __device__ __forceinline__ uint32_t LargestSeen(int begin,
                                                  const float* scales,
                                                  int i) const {
    const int2 range = ranges_[Lane() / 4 + 8 * i];
    uint32_t largest = 0;
    for (int key = Lane() % 4; key < kAttendTile; key += 4)
      if (IsIn(range, begin + key))
        largest = max(largest, __float_as_uint(scales[key]));
    largest = max(largest, __shfl_xor_sync(~0u, largest, 1));
    return max(largest, __shfl_xor_sync(~0u, largest, 2));
  }

  __device__ __forceinline__ void Rescale(const float (&rescale)[2]) {
    if (!__any_sync(~0u, rescale[0] != 1.0f || rescale[1] != 1.0f)) return;
#pragma unroll
    for (int n = 0; n < 2 * kSteps; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        o_[n][i] = __fmul_rn(o_[n][i], rescale[i / 2]);
  }

  __device__ __forceinline__ void AddValues(
      const unsigned char* values, const uint32_t (&p)[kValueTiles][4]) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      Type::template Values<kStride>(values, step,
                                     [&](int k, int i, const uint32_t(&b)[2]) {
                                       Type::Mma(o_[2 * step + i], p[k], b);
                                     });
    }
  }

  __device__ __forceinline__ bool HasNotFinite(
      const unsigned char* values) const {
    values += Lane() * kStride;
    bool found = false;
    for (int at = 0; at < kRowBytes; at += 16) {
      const uint4 words = *reinterpret_cast<const uint4*>(values + at);
      found = found || Type::IsNotFinite(words.x) ||
              Type::IsNotFinite(words.y) || Type::IsNotFinite(words.z) ||
              Type::IsNotFinite(words.w);
    }
    return __any_sync(~0u, found);
  }

  __device__ static __forceinline__ bool IsIn(int2 range, int key) {
    return key >= range.x && key < range.y;
  }
  // `word`, keys key and key + 1 of a column, without what is not in range.
  __device__ static __forceinline__ uint32_t Visible(uint32_t word, int key,
                                                     int2 range) {
    return word & ((IsIn(range, key) ? 0xffffu : 0u) |
                   (IsIn(range, key + 1) ? 0xffff0000u : 0u));
  }

  // The same for one row at a time, each with the values that it sees: slow,
  // rare.
  __device__ __forceinline__ void AddVisibleValues(
      int begin, const unsigned char* values,
      const uint32_t (&p)[kValueTiles][4]) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      Type::template Values<kStride>(
          values, step, [&](int k, int i, const uint32_t(&b)[2]) {
#pragma unroll 1
            for (int row = 0; row < kMmaRows; ++row) {
              const int2 range = ranges_[row];
              AddToRow(row, p[k], Visible(b[0], KeyOf(begin, 2 * k), range),
                       Visible(b[1], KeyOf(begin, 2 * k + 1), range),
                       o_[2 * step + i]);
            }
          });
    }
  }

  __device__ static __forceinline__ void AddToRow(int row,
                                                  const uint32_t (&a)[4],
                                                  uint32_t b0, uint32_t b1,
                                                  float (&o)[4]) {
    float d[4] = {o[0], o[1], o[2], o[3]};
    Type::Mma(d, a, {b0, b1});
    if (Lane() / 4 == row % 8) {
      o[0] = row < 8 ? d[0] : o[0];
      o[1] = row < 8 ? d[1] : o[1];
      o[2] = row < 8 ? o[2] : d[2];
      o[3] = row < 8 ? o[3] : d[3];
    }
    __syncwarp();  // the next mma wants a whole warp
  }

  const uint4* const queries_;
  const int2* const ranges_;
  const int first_row_;
  const bool is_idle_;     // no real row
  const bool sees_alike_;  // all rows see the same keys
  uint4 q_[kHoldsQueries ? kSteps : 1];
  float o_[2 * kSteps][4];
  // Of both rows: their factor, the largest score of all lanes and the sum of
  // this lane's weights, in powers of two.
  float factor_[2];
  float m_[2];
  float l_[2];
  // Biased exponent of what outputs are multiples of; int8 only.
  int unit_[2];
};

}  // namespace quatrain::cuda
