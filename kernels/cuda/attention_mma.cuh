#pragma once

#include <cstdint>

#include "kernels/cuda/attention_merge.cuh"
#include "kernels/cuda/attention_piece.cuh"
#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/kv_store.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/row_exponent.cuh"
#include "kernels/cuda/simt.h"

// The device code of attention_mma.cu, which says what it computes. A warp has
// 16 rows; row warps share a tile of 32 keys, tile warps have different ones.
namespace quatrain::cuda {

constexpr int kMmaRows = 16;
constexpr int kMmaWarps = 4;  // of a block, at most
constexpr int kMmaStages = 2;

// A row of K or V in shared memory: an odd number of 16 bytes, so that the 8
// rows that ldmatrix reads together lie in different banks.
constexpr int MmaStride(int head_dim) { return head_dim * 2 + 16; }
// K, then V.
constexpr int MmaTileBytes(int head_dim) {
  return 2 * kAttendTile * MmaStride(head_dim);
}

// What a type of the cache is to the tensor cores.
template <typename Cache>
struct MmaType;

template <>
struct MmaType<CacheF16> {
  static constexpr uint32_t kExponent = 0x7c00;
  // q is brought to [2^14, 2^15), so that it neither overflows nor vanishes.
  static constexpr bool kScalesRows = true;
  __device__ static __forceinline__ uint32_t Pack(float low, float high) {
    const __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&both);
  }
  __device__ static __forceinline__ void Mma(float (&d)[4],
                                             const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_f16(d, a, b);
  }
};

template <>
struct MmaType<CacheBF16> {
  static constexpr uint32_t kExponent = 0x7f80;
  static constexpr bool kScalesRows = false;
  __device__ static __forceinline__ uint32_t Pack(float low, float high) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&both);
  }
  __device__ static __forceinline__ void Mma(float (&d)[4],
                                             const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_bf16(d, a, b);
  }
};

__device__ __forceinline__ float LowestScore() {
  return -__uint_as_float(0x7f800000u);
}

// --- Queries -----------------------------------------------------------------

// The place of the pair (row, k), (row, k + 1) among the words of A fragments
// [row / 16][head_dim / 16][lane][4], k even.
template <int kDim>
__device__ __forceinline__ int QueryWord(int row, int k) {
  const int lane = row % 8 * 4 + k % 8 / 2;
  const int element = row % 16 / 8 + k % 16 / 8 * 2;
  return ((row / 16 * (kDim / 16) + k / 16) * 32 + lane) * 4 + element;
}

// One row by one warp: rotated, times scale * log2(e), times 2^-e, rounded.
// Its factor is 2^e, and NaN where q is not finite or marked, so that all its
// scores are NaN. Rows past the last are zeros.
template <typename Cache, int kDim>
__device__ __forceinline__ void LoadQuery(const AttendArguments& args,
                                          const Piece& piece, int row,
                                          uint32_t* words, float* factors) {
  using Type = MmaType<Cache>;
  constexpr int kPairs = (kDim + 63) / 64;
  const bool is_real = row < piece.num_rows;
  const HeadVector head =
      args.Head(piece.entry.first_token + (is_real ? row / piece.heads : 0),
                piece.first_head + (is_real ? row % piece.heads : 0), true);
  const float scale = __fmul_rn(args.scale, 1.44269504f);
  float x[kPairs][2];
  uint32_t largest = 0;  // as bits, in which NaN and infinity are largest
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int d = 2 * static_cast<int>(threadIdx.x % 32) + 64 * i;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      x[i][e] = is_real && d < kDim ? __fmul_rn(head[d + e], scale) : 0.0f;
      largest = max(largest, __float_as_uint(x[i][e]) & 0x7fffffffu);
    }
  }
  largest = __reduce_max_sync(~0u, largest);
  const bool is_finite = largest < 0x7f800000u;
  const int exponent = Type::kScalesRows ? RowExponent(largest) : 127;
  const float down =
      __uint_as_float(static_cast<uint32_t>(254 - exponent) << 23);
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int d = 2 * static_cast<int>(threadIdx.x % 32) + 64 * i;
    if (d < kDim)
      words[QueryWord<kDim>(row, d)] =
          is_finite
              ? Type::Pack(__fmul_rn(x[i][0], down), __fmul_rn(x[i][1], down))
              : 0u;
  }
  if (threadIdx.x % 32 == 0)
    factors[row] = is_finite
                       ? __uint_as_float(static_cast<uint32_t>(exponent) << 23)
                       : NotANumber();
}

// All rows, and what each sees; a row past the last sees what the last does.
template <typename Cache, int kDim>
__device__ __forceinline__ void LoadQueryFragments(
    const AttendArguments& args, const Piece& piece,
    const AttendBuffers& buffers) {
  const int rows = args.rows.row_warps * kMmaRows;
  for (int row = threadIdx.x / 32; row < rows; row += blockDim.x / 32)
    LoadQuery<Cache, kDim>(args, piece, row,
                           reinterpret_cast<uint32_t*>(buffers.queries),
                           buffers.scores);
  for (int row = threadIdx.x; row < rows; row += blockDim.x)
    buffers.ranges[row] =
        piece.Range(min(row, piece.num_rows - 1), args.window);
}

// --- Pages -------------------------------------------------------------------

// Copies tiles from the pages of the cache to a ring of kMmaStages buffers, by
// the row warps that will read them. Keys that no row sees are zeros: their
// blocks may be gone.
template <typename Cache, int kDim>
class MmaLoader {
 public:
  static constexpr int kStride = MmaStride(kDim);
  static constexpr int kTileBytes = MmaTileBytes(kDim);

  __device__ __forceinline__ MmaLoader(const AttendArguments& args,
                                       const Piece& piece,
                                       const AttendBuffers& buffers,
                                       int tile_warp, int row_warp)
      : args_(args),
        piece_(piece),
        table_(args.step.block_tables +
               static_cast<int64_t>(piece.entry.sequence) *
                   args.step.block_stride),
        ring_(buffers.keys + tile_warp * kMmaStages * kTileBytes),
        row_warp_(row_warp) {}

  __device__ __forceinline__ const unsigned char* Keys(int stage) const {
    return ring_ + stage * kTileBytes;
  }
  __device__ __forceinline__ const unsigned char* Values(int stage) const {
    return Keys(stage) + kAttendTile * kStride;
  }

  // The next Load() is about this tile, if it is one. Asks for the page of this
  // lane's key.
  __device__ __forceinline__ void Find(int tile, int end_tile) {
    has_tile_ = tile < end_tile;
    own_ = has_tile_ && piece_.own >= 0 && piece_.own / kAttendTile == tile
               ? piece_.own % kAttendTile
               : -1;
    const int key = tile * kAttendTile + static_cast<int>(threadIdx.x % 32);
    has_key_ = has_tile_ && key >= piece_.begin && key < piece_.end &&
               key != piece_.own;
    if (!has_key_) return;
    const int page = key / args_.kv.block_size;
    offset_ = key - page * args_.kv.block_size;
    block_ = table_[page];
  }

  __device__ __forceinline__ void Load(int stage) {
    if (!has_tile_) return;
    unsigned char* const keys = ring_ + stage * kTileBytes;
    unsigned char* const values = keys + kAttendTile * kStride;
    const int64_t mine =
        has_key_
            ? args_.kv.KeyRow(block_, offset_, piece_.kv_head) * (kChunks * 16)
            : kNothing;
    const int64_t to_values = args_.kv.value_rows() * (kChunks * 16);
    const int lane = static_cast<int>(threadIdx.x % 32);
    for (int c = row_warp_ * 32; c < kAttendTile * kChunks;
         c += args_.rows.row_warps * 32) {
      const int key = (c + lane) / kChunks;
      const int at = (c + lane) % kChunks * 16;
      const int64_t from = __shfl_sync(~0u, mine, key);
      if (key == own_) continue;  // StoreOwn() writes it
      const bool is_there = from >= 0;
      const unsigned char* const source =
          args_.kv.data + (is_there ? from + at : 0);
      const int bytes = is_there ? 16 : 0;
      ptx::cp_async16(keys + key * kStride + at, source, bytes);
      ptx::cp_async16(values + key * kStride + at,
                      source + (is_there ? to_values : 0), bytes);
    }
    ptx::cp_async_commit();
    if (own_ < 0 || row_warp_ != 0) return;
    StoreOwn(args_.num_q_heads + piece_.kv_head, true, 0,
             keys + own_ * kStride);
    StoreOwn(args_.num_q_heads + args_.kv.num_kv_heads + piece_.kv_head, false,
             args_.kv.value_rows(), values + own_ * kStride);
  }

 private:
  static constexpr int kChunks = kDim / 8;  // of a row, 16 bytes each
  static constexpr int64_t kNothing = -1;

  // The key that this launch stores, from qkv.
  __device__ __forceinline__ void StoreOwn(int head, bool rotates,
                                           int64_t more_rows,
                                           unsigned char* to) {
    const int token = piece_.entry.first_token;
    const int64_t slot = args_.step.slot_mapping[token];
    const int64_t row =
        piece_.writes && slot >= 0
            ? args_.kv.KeyRowOfSlot(slot, piece_.kv_head) + more_rows
            : kNothing;
    StoreHead<Cache>(args_.Head(token, head, rotates), kDim, args_.kv, row, to);
  }

  const AttendArguments& args_;
  const Piece& piece_;
  const int32_t* const table_;
  unsigned char* const ring_;
  const int row_warp_;
  bool has_tile_ = false;
  int own_ = -1;  // which key of the tile StoreOwn() writes
  // Of this lane's key.
  bool has_key_ = false;
  int32_t block_ = 0;
  int offset_ = 0;
};

// --- A warp's rows -----------------------------------------------------------

// Lane 4g + t holds rows g and g + 8 (its "both"): of scores keys 8n + 2t and
// the next, of outputs dims 8n + 2t and the next.
template <typename Cache, int kDim>
class MmaWarp {
 public:
  using Type = MmaType<Cache>;
  static constexpr int kSteps = kDim / 16;
  static constexpr int kKeyTiles = kAttendTile / 8;
  static constexpr int kStride = MmaStride(kDim);
  // More would not fit in registers beside the outputs.
  static constexpr bool kHoldsQueries = kDim <= 128;

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
  __device__ __forceinline__ void Add(int tile, const unsigned char* keys,
                                      const unsigned char* values) {
    if (is_idle_) return;
    const int begin = tile * kAttendTile;
    const int2 first = ranges_[0];
    const int2 last = ranges_[kMmaRows - 1];
    if (first.x >= begin + kAttendTile || last.y <= begin) return;
    const bool is_full = last.x <= begin && first.y >= begin + kAttendTile;
    float s[kKeyTiles][4];
    Scores(keys, s);
    if (!is_full) Hide(begin, s);
    Weigh(s);
    uint32_t p[kAttendTile / 16][4];
#pragma unroll
    for (int k = 0; k < kAttendTile / 16; ++k) {
      p[k][0] = Type::Pack(s[2 * k][0], s[2 * k][1]);
      p[k][1] = Type::Pack(s[2 * k][2], s[2 * k][3]);
      p[k][2] = Type::Pack(s[2 * k + 1][0], s[2 * k + 1][1]);
      p[k][3] = Type::Pack(s[2 * k + 1][2], s[2 * k + 1][3]);
    }
    // A value that a row does not see must not be multiplied by its zero, if
    // it is not finite. What no row sees has been zeroed by the loader.
    if (!is_full && !sees_alike_ && HasNotFinite(values))
      AddVisibleValues(begin, values, p);
    else
      AddValues(values, p);
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
                         static_cast<int64_t>(head) * kDim + Lane() % 4 * 2;
#pragma unroll
      for (int n = 0; n < 2 * kSteps; ++n)
        *reinterpret_cast<float2*>(out + 8 * n) = make_float2(
            Output(o_[n][2 * i], inverse), Output(o_[n][2 * i + 1], inverse));
    }
  }

  // The state in natural logarithms, as attention_state.cuh has it; sums may be
  // null.
  __device__ __forceinline__ void Leave(int num_rows, const States& to,
                                        float2* sums) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float l = Sum(i);
      const int row = first_row_ + Lane() / 4 + 8 * i;
      if (row >= num_rows) continue;
      // Scores of -infinity alone are as good as none; a NaN leaves l NaN.
      const bool has_keys = !(m_[i] == LowestScore() && l == 0.0f);
      const float m = has_keys ? __fmul_rn(m_[i], 0.693147182f) : NoKeys();
      if (Lane() % 4 == 0) {
        if (sums != nullptr) {
          sums[row] = make_float2(m, l);
        } else {
          to.m[row] = m;
          to.l[row] = l;
        }
      }
      float* const o = to.o + row * kDim + Lane() % 4 * 2;
#pragma unroll
      for (int n = 0; n < 2 * kSteps; ++n)
        *reinterpret_cast<float2*>(o + 8 * n) =
            make_float2(o_[n][2 * i], o_[n][2 * i + 1]);
    }
  }

 private:
  __device__ static __forceinline__ int Lane() {
    return static_cast<int>(threadIdx.x % 32);
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

  // Two B fragments of 16 keys by 16 dims of K.
  __device__ __forceinline__ void Scores(const unsigned char* keys,
                                         float (&s)[kKeyTiles][4]) const {
    const int matrix = Lane() / 8;
    keys += (Lane() % 8 + matrix / 2 * 8) * kStride + matrix % 2 * 16;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) s[n][i] = 0.0f;
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      uint32_t a[4];
      Query(k, a);
#pragma unroll
      for (int n = 0; n < kKeyTiles; n += 2) {
        uint32_t b[4];
        ptx::ldmatrix_x4(b, keys + n * 8 * kStride + k * 32);
        Type::Mma(s[n], a, {b[0], b[1]});
        Type::Mma(s[n + 1], a, {b[2], b[3]});
      }
    }
  }

  // -infinity for what a row does not see.
  __device__ __forceinline__ void Hide(int begin,
                                       float (&s)[kKeyTiles][4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int2 range = ranges_[Lane() / 4 + i / 2 * 8];
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n) {
        const int key = begin + 8 * n + Lane() % 4 * 2 + i % 2;
        if (key < range.x || key >= range.y) s[n][i] = LowestScore();
      }
    }
  }

  // From scores to weights; rescales what there is.
  __device__ __forceinline__ void Weigh(float (&s)[kKeyTiles][4]) {
    float rescale[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float m = LowestScore();  // fmaxf passes a NaN over
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
        m = fmaxf(m, fmaxf(s[n][2 * i], s[n][2 * i + 1]));
      m = fmaxf(m, __shfl_xor_sync(~0u, m, 1));
      m = fmaxf(m, __shfl_xor_sync(~0u, m, 2));
      // Times a power of two, and so exact.
      m = fmaxf(m_[i], __fmul_rn(m, factor_[i]));
      const float base = m == LowestScore() ? 0.0f : m;
      rescale[i] = ptx::ex2_approx(__fsub_rn(m_[i], base));
      m_[i] = m;
      float l = 0.0f;
#pragma unroll
      for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
        for (int e = 2 * i; e < 2 * i + 2; ++e) {
          s[n][e] = ptx::ex2_approx(__fmaf_rn(s[n][e], factor_[i], -base));
          l = __fadd_rn(l, s[n][e]);
        }
      l_[i] = __fmaf_rn(l_[i], rescale[i], l);
    }
    if (!__any_sync(~0u, rescale[0] != 1.0f || rescale[1] != 1.0f)) return;
#pragma unroll
    for (int n = 0; n < 2 * kSteps; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        o_[n][i] = __fmul_rn(o_[n][i], rescale[i / 2]);
  }

  // Of this lane in the four matrices of 16 keys by 16 dims of V.
  __device__ static __forceinline__ const unsigned char* ValueRow(
      const unsigned char* values) {
    const int matrix = Lane() / 8;
    return values + (Lane() % 8 + matrix % 2 * 8) * kStride + matrix / 2 * 16;
  }

  __device__ __forceinline__ void AddValues(
      const unsigned char* values, const uint32_t (&p)[kAttendTile / 16][4]) {
    values = ValueRow(values);
#pragma unroll
    for (int k = 0; k < kAttendTile / 16; ++k)
#pragma unroll
      for (int n = 0; n < kSteps; ++n) {
        uint32_t b[4];
        ptx::ldmatrix_x4_trans(b, values + k * 16 * kStride + n * 32);
        Type::Mma(o_[2 * n], p[k], {b[0], b[1]});
        Type::Mma(o_[2 * n + 1], p[k], {b[2], b[3]});
      }
  }

  __device__ __forceinline__ bool HasNotFinite(
      const unsigned char* values) const {
    constexpr uint32_t kLow = Type::kExponent, kHigh = Type::kExponent << 16;
    bool found = false;
    for (int i = Lane(); i < kAttendTile * kDim / 2; i += 32) {
      const uint32_t word = *reinterpret_cast<const uint32_t*>(
          values + i / (kDim / 2) * kStride + i % (kDim / 2) * 4);
      found = found || (word & kLow) == kLow || (word & kHigh) == kHigh;
    }
    return __any_sync(~0u, found);
  }

  // `word`, keys key and key + 1 of a column, without what is not in range.
  __device__ static __forceinline__ uint32_t Visible(uint32_t word, int key,
                                                     int2 range) {
    if (key < range.x || key >= range.y) word &= 0xffff0000u;
    if (key + 1 < range.x || key + 1 >= range.y) word &= 0xffffu;
    return word;
  }

  // The same for one row at a time, each with the values that it sees: slow,
  // rare.
  __device__ __forceinline__ void AddVisibleValues(
      int begin, const unsigned char* values,
      const uint32_t (&p)[kAttendTile / 16][4]) {
    values = ValueRow(values);
#pragma unroll 1
    for (int row = 0; row < kMmaRows; ++row) {
      const int2 range = ranges_[row];
#pragma unroll
      for (int k = 0; k < kAttendTile / 16; ++k)
#pragma unroll
        for (int n = 0; n < kSteps; ++n) {
          const int key = begin + 16 * k + Lane() % 4 * 2;
          uint32_t b[4];
          ptx::ldmatrix_x4_trans(b, values + k * 16 * kStride + n * 32);
          AddToRow(row, p[k], Visible(b[0], key, range),
                   Visible(b[1], key + 8, range), o_[2 * n]);
          AddToRow(row, p[k], Visible(b[2], key, range),
                   Visible(b[3], key + 8, range), o_[2 * n + 1]);
        }
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
};

// --- A piece -----------------------------------------------------------------

// A barrier of the warps that share a tile.
__device__ __forceinline__ void SyncRowWarps(const AttendArguments& args,
                                             int tile_warp) {
  if (args.rows.row_warps == 1)
    __syncwarp();
  else
    ptx::named_barrier_sync(1 + tile_warp, args.rows.row_warps * 32);
}

// Merges what the tile warps have left into the total.
__device__ inline void MergeTileWarps(const AttendArguments& args,
                                      const Piece& piece,
                                      AttendBuffers buffers) {
  buffers.segment = buffers.total;
  __syncthreads();  // partials, sums, the empty total
  WeighTiles(args, piece, buffers);
  __syncthreads();  // weights
  MergeTiles(args, piece, buffers);
}

// No keys, and zeros: a row whose scores are all -infinity is 0 / 0.
__device__ inline void ClearTotal(const AttendArguments& args,
                                  const Piece& piece,
                                  const AttendBuffers& buffers) {
  const States total(buffers.total, args);
  for (int i = threadIdx.x; i < piece.num_rows * args.head_dim / 4;
       i += blockDim.x)
    total.Quad(i) = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int row = threadIdx.x; row < piece.num_rows; row += blockDim.x) {
    total.m[row] = NoKeys();
    total.l[row] = 0.0f;
  }
}

template <typename Cache, int kDim>
__device__ __forceinline__ void AttendMmaPiece(const AttendArguments& args,
                                               const Piece& piece,
                                               const AttendBuffers& buffers) {
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int tile_warp = warp / args.rows.row_warps;
  const int row_warp = warp % args.rows.row_warps;
  const int step = args.tile_warps;
  const int end_tile = min(piece.entry.end_segment * kTilesPerSegment,
                           (piece.end + kAttendTile - 1) / kAttendTile);
  int tile = tile_warp + max(piece.entry.first_segment * kTilesPerSegment,
                             piece.begin / kAttendTile);
  MmaLoader<Cache, kDim> loader(args, piece, buffers, tile_warp, row_warp);
  loader.Find(tile, end_tile);
  loader.Load(0);
  loader.Find(tile + step, end_tile);
  LoadQueryFragments<Cache, kDim>(args, piece, buffers);
  __syncthreads();  // queries, factors, ranges
  MmaWarp<Cache, kDim> rows(piece, buffers, row_warp);
  for (int stage = 0; tile < end_tile; tile += step, stage ^= 1) {
    ptx::cp_async_wait<0>();
    SyncRowWarps(args, tile_warp);  // a tile has arrived, another has been read
    loader.Load(stage ^ 1);
    loader.Find(tile + 2 * step, end_tile);
    __syncwarp();  // ldmatrix and mma want a whole warp
    rows.Add(tile, loader.Keys(stage), loader.Values(stage));
  }
  if (step == 1 && piece.entry.num_splits == 1) {
    rows.Store(args, piece);
    __syncthreads();  // buffers may be used again
    return;
  }
  __syncthreads();  // states now take the place of tiles
  if (step == 1) {
    rows.Leave(piece.num_rows, States(buffers.total, args), nullptr);
  } else {
    const int first = tile_warp * args.rows.total;
    rows.Leave(piece.num_rows,
               States(buffers.partials + first * args.head_dim, args),
               buffers.sums + first);
    ClearTotal(args, piece, buffers);
    MergeTileWarps(args, piece, buffers);
  }
  __syncthreads();  // the total
  if (piece.entry.num_splits == 1)
    StoreTotal(args, piece, buffers);
  else if (StoreSplit(args, piece, buffers))
    MergeSplits(args, piece);
  __syncthreads();  // buffers may be used again
}

// States lie where the tiles were: what the layout says of them is offsets into
// the same buffer.
__device__ __forceinline__ AttendBuffers CarveMma(unsigned char* memory,
                                                  const AttendShared& layout) {
  AttendBuffers buffers{};
  buffers.keys = Carve<unsigned char>(memory, layout.keys);
  buffers.queries = Carve<float>(memory, layout.queries);
  buffers.scores = Carve<float>(memory, layout.scores);
  buffers.ranges = Carve<int2>(memory, layout.ranges);
  buffers.flag = Carve<int>(memory, layout.flag);
  buffers.partials = reinterpret_cast<float*>(memory + layout.partials.offset);
  buffers.sums = reinterpret_cast<float2*>(memory + layout.sums.offset);
  buffers.weights = reinterpret_cast<float2*>(memory + layout.weights.offset);
  buffers.total = reinterpret_cast<float*>(memory + layout.total.offset);
  return buffers;
}

template <typename Cache, int kDim>
__global__ void __launch_bounds__(kMmaWarps * 32, kDim > 128 ? 2 : 3)
    AttendMmaKernel(AttendArguments args) {
  SIMT_DYNAMIC_SHARED(memory);
  const AttendBuffers buffers = CarveMma(memory, args.layout);
  const int num_pieces = *args.num_entries * args.pieces;
  for (int i = blockIdx.x; i < num_pieces; i += gridDim.x) {
    const Piece piece = PieceAt(args, i);
    if (piece.num_rows > 0) AttendMmaPiece<Cache, kDim>(args, piece, buffers);
  }
}

}  // namespace quatrain::cuda
