// What:      int4_matmul_hwy.cc's tile for AVX-512 VNNI, which Highway 1.0.3
//            does not offer.
// How:       the same, but vpdpwssd multiplies and adds in one instruction and
//            reads its pair of digits from memory. Few rows need several
//            accumulators each, because the instruction takes 5 cycles.
// Compiled:  for x86-64 only, with the target named here.

#include "kernels/cpu/int4_matmul.h"

#if defined(__x86_64__)
#if !defined(__clang__)
// GCC 12 takes its own headers' undefined vectors for ours.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels/exact_sum.h"

#if defined(__clang__)
#define QUATRAIN_VNNI \
  __attribute__((     \
      target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#else
#pragma GCC push_options
#pragma GCC target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")
#define QUATRAIN_VNNI
#endif
#define QUATRAIN_VNNI_INLINE QUATRAIN_VNNI inline __attribute__((always_inline))

namespace quatrain {
namespace {

QUATRAIN_VNNI_INLINE __m512i Pair(const int16_t* digits, int pair) {
  int32_t both;
  __builtin_memcpy(&both, digits + 2 * pair, sizeof(both));
  return _mm512_set1_epi32(both);
}

QUATRAIN_VNNI_INLINE void AddContributions(__m512 c, uint64_t* fixed) {
  const __m512d magic = _mm512_set1_pd(0x1.8p24);
  const __m512d low =
      _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(c)), magic);
  const __m512d high =
      _mm512_add_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(c, 1)), magic);
  _mm512_storeu_si512(fixed, _mm512_add_epi64(_mm512_loadu_si512(fixed),
                                              _mm512_castpd_si512(low)));
  _mm512_storeu_si512(fixed + 8, _mm512_add_epi64(_mm512_loadu_si512(fixed + 8),
                                                  _mm512_castpd_si512(high)));
}

// d[r] += the products of a block's words with row r's digits.
template <int kRows>
QUATRAIN_VNNI_INLINE void AddBlock(const std::byte* words,
                                   const BlockSpan& block, const DigitRows& x,
                                   __m512i (&d)[kRows]) {
  constexpr int kChains = kRows <= 2 ? 4 : kRows <= 4 ? 2 : 1;
  __m512i chain[kChains][kRows];
  for (int r = 0; r < kRows; ++r) chain[0][r] = d[r];
  for (int i = 1; i < kChains; ++i)
    for (int r = 0; r < kRows; ++r) chain[i][r] = _mm512_setzero_si512();
  const __m512i mask = _mm512_set1_epi32(0x000f000f);
  const int16_t* digits = x.digits + block.first_digit;
  for (int g = 0; g < block.groups; ++g, digits += kGroupK) {
    const std::byte* line = words + g * kVectorBytes;
    if constexpr (kRows <= 4) {  // few rows wait for memory, more compute
      __builtin_prefetch(line + 8192, 0, 2);
      __builtin_prefetch(line + 1024, 0, 3);
    }
    const __m512i w = _mm512_loadu_si512(line);
    const __m512i pairs[4] = {_mm512_and_si512(w, mask),
                              _mm512_and_si512(_mm512_srli_epi32(w, 8), mask),
                              _mm512_and_si512(_mm512_srli_epi32(w, 4), mask),
                              _mm512_and_si512(_mm512_srli_epi32(w, 12), mask)};
    for (int p = 0; p < 4; ++p) {
      for (int r = 0; r < kRows; ++r) {
        __m512i& sum = chain[p % kChains][r];
        sum = _mm512_dpwssd_epi32(sum, pairs[p],
                                  Pair(digits + r * x.digit_stride, p));
      }
    }
  }
  for (int i = 1; i < kChains; ++i)
    for (int r = 0; r < kRows; ++r)
      chain[0][r] = _mm512_add_epi32(chain[0][r], chain[i][r]);
  for (int r = 0; r < kRows; ++r) d[r] = chain[0][r];
}

// The scales of a header, whatever they are stored as.
QUATRAIN_VNNI_INLINE void WidenScales(DType dtype, const std::byte* from,
                                      float* out) {
  for (int i = 0; i < kHeaderLanes; i += kTileRows) {
    const auto* bits =
        reinterpret_cast<const __m256i*>(from + i * SizeOf(dtype));
    const __m512 s =
        dtype == DType::kF16 ? _mm512_cvtph_ps(_mm256_loadu_si256(bits))
        : dtype == DType::kBF16
            ? _mm512_castsi512_ps(_mm512_slli_epi32(
                  _mm512_cvtepu16_epi32(_mm256_loadu_si256(bits)), 16))
            : _mm512_loadu_ps(bits);
    _mm512_store_ps(out + i, s);
  }
}

template <int kRows, bool kCheck>
QUATRAIN_VNNI uint32_t Tile(const Int4Tile& record, const BlockList& list,
                            const DigitRows& x, int64_t* sums) {
  alignas(64) uint64_t fixed[kRows * kTileRows] = {};
  alignas(64) float scales[kHeaderLanes];
  uint32_t marks = 0;
  const std::byte* tile = record.bytes;
  const std::byte* zeros = nullptr;
  for (int b = 0; b < list.num_blocks(); ++b) {
    const BlockSpan& block = list.blocks[b];
    if (b % kBlocksPerHeader == 0) {
      zeros = tile;
      WidenScales(record.scale_dtype, tile + kHeaderLanes, scales);
      tile += HeaderBytes(record.scale_dtype);
    }
    const int lanes = b % kBlocksPerHeader * kTileRows;
    const __m512 s = _mm512_load_ps(scales + lanes);
    const __m512i z = _mm512_cvtepu8_epi32(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros + lanes)));
    __m512i d[kRows];
    for (int r = 0; r < kRows; ++r)
      d[r] = _mm512_mullo_epi32(
          z, _mm512_set1_epi32(-x.sums[r * x.block_stride + b]));
    AddBlock<kRows>(tile, block, x, d);
    for (int r = 0; r < kRows; ++r) {
      const __m512 a = _mm512_set1_ps(x.scales[r * x.block_stride + b]);
      const __m512 c =
          _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(d[r]), a), s);
      if constexpr (kCheck) {
        const __mmask16 fits = _mm512_cmp_ps_mask(
            _mm512_abs_ps(c), _mm512_set1_ps(kMaxContribution), _CMP_LT_OQ);
        if (fits != 0xffff) marks |= 1u << r;
      }
      AddContributions(c, fixed + r * kTileRows);
    }
    tile += block.groups * kVectorBytes;
  }
  constexpr uint64_t kMagicBits = 0x4178000000000000u;  // of 1.5 * 2^24
  const uint64_t offset = static_cast<uint64_t>(list.num_blocks()) * kMagicBits;
  for (int i = 0; i < kRows * kTileRows; ++i)
    sums[i] = static_cast<int64_t>(fixed[i] - offset);
  return marks;
}

constexpr Int4Kernels kVnniKernels = {{
    {Tile<1, false>, Tile<1, true>},
    {Tile<2, false>, Tile<2, true>},
    {Tile<3, false>, Tile<3, true>},
    {Tile<4, false>, Tile<4, true>},
    {Tile<5, false>, Tile<5, true>},
    {Tile<6, false>, Tile<6, true>},
    {Tile<7, false>, Tile<7, true>},
    {Tile<8, false>, Tile<8, true>},
}};

}  // namespace
#if !defined(__clang__)
#pragma GCC pop_options
#endif

const Int4Kernels& Int4KernelsVnni() { return kVnniKernels; }

}  // namespace quatrain
#endif  // __x86_64__
