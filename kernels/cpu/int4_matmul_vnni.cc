// What:      int4_matmul_hwy.cc's tile for AVX-512 VNNI, which Highway 1.0.3
//            does not offer.
// How:       a digit of 16 bits becomes two balanced ones of 8 bits, xi = 256 *
//            high + low, each within [-128, 127]. vpdpbusd multiplies 64
//            nibbles, as unsigned bytes, by 64 signed ones and adds groups of
//            four, exactly; the two sums are joined once per block. Nibbles
//            need three instructions for 128 weights, and the sums of a tile
//            stay in registers where rows are few.
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
#define QUATRAIN_AVX512 \
  __attribute__((       \
      target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#else
#pragma GCC push_options
#pragma GCC target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")
#define QUATRAIN_AVX512
#endif
#define QUATRAIN_AVX512_INLINE \
  QUATRAIN_AVX512 inline __attribute__((always_inline))

#include "kernels/cpu/load_scales-inl.h"

namespace quatrain {
namespace {

// In every 16 bytes, eight digits in kDigitOrder become the low digits of k 0
// to 7, then the high ones.
QUATRAIN_AVX512 void Arrange(int16_t* digits, int num_digits) {
  alignas(16) constexpr uint8_t kOrder[16] = {0, 4, 2, 6, 8, 12, 10, 14,
                                              1, 5, 3, 7, 9, 13, 11, 15};
  const __m128i order =
      _mm_load_si128(reinterpret_cast<const __m128i*>(kOrder));
  const __m128i half = _mm_set1_epi16(0x80);
  for (int i = 0; i < num_digits; i += kGroupK) {
    auto* eight = reinterpret_cast<__m128i*>(digits + i);
    // high = (xi + 128) >> 8, low = xi - 256 * high: the bytes of xi + 128,
    // the lower one less 128.
    const __m128i both =
        _mm_xor_si128(_mm_add_epi16(_mm_loadu_si128(eight), half), half);
    _mm_storeu_si128(eight, _mm_shuffle_epi8(both, order));
  }
}

// Four bytes at `bytes` in every lane.
QUATRAIN_AVX512_INLINE __m512i Four(const int16_t* bytes, int index) {
  int32_t four;
  __builtin_memcpy(&four, reinterpret_cast<const char*>(bytes) + 4 * index,
                   sizeof(four));
  return _mm512_set1_epi32(four);
}

// d[r] += the products of a block's words with row r's digits; kDigits: of 8
// bits each, 1 where all high ones are 0.
template <int kRows, int kDigits>
QUATRAIN_AVX512_INLINE void AddBlock(const std::byte* words,
                                     const BlockSpan& block, const DigitRows& x,
                                     __m512i (&d)[kRows]) {
  // One chain of additions per digit and row would wait for itself where rows
  // are few: then low and high nibbles have chains of their own.
  constexpr int kChains = kRows <= 3 ? 2 : 1;
  __m512i low[kRows][kChains], high[kRows][kChains];
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kChains; ++i)
      low[r][i] = high[r][i] = _mm512_setzero_si512();
  const __m512i mask = _mm512_set1_epi8(0x0f);
  const int16_t* digits = x.digits + block.first_digit;
  for (int g = 0; g < block.groups; ++g, digits += kGroupK) {
    const std::byte* line = words + g * kVectorBytes;
    __builtin_prefetch(line + kFarBytes, 0, 2);
    __builtin_prefetch(line + kNearBytes, 0, 3);
    const __m512i w = _mm512_loadu_si512(line);
    const __m512i first = _mm512_and_si512(w, mask);
    const __m512i second = _mm512_and_si512(_mm512_srli_epi32(w, 4), mask);
    for (int r = 0; r < kRows; ++r) {
      const int16_t* eight = digits + r * x.digit_stride;
      low[r][0] = _mm512_dpbusd_epi32(low[r][0], first, Four(eight, 0));
      __m512i& low2 = low[r][kChains - 1];
      low2 = _mm512_dpbusd_epi32(low2, second, Four(eight, 1));
      if constexpr (kDigits == 2) {
        high[r][0] = _mm512_dpbusd_epi32(high[r][0], first, Four(eight, 2));
        __m512i& high2 = high[r][kChains - 1];
        high2 = _mm512_dpbusd_epi32(high2, second, Four(eight, 3));
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int i = 1; i < kChains; ++i) {
      low[r][0] = _mm512_add_epi32(low[r][0], low[r][i]);
      high[r][0] = _mm512_add_epi32(high[r][0], high[r][i]);
    }
    d[r] = _mm512_add_epi32(
        d[r], _mm512_add_epi32(low[r][0], _mm512_slli_epi32(high[r][0], 8)));
  }
}

// The 64-bit sums of a row: outputs 0 to 7, and 8 to 15.
struct RowSums {
  __m512i low, high;
};

QUATRAIN_AVX512_INLINE void AddContributions(__m512 c, RowSums* sums) {
  const __m512d magic = _mm512_set1_pd(0x1.8p24);
  const __m512d low =
      _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(c)), magic);
  const __m512d high =
      _mm512_add_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(c, 1)), magic);
  sums->low = _mm512_add_epi64(sums->low, _mm512_castpd_si512(low));
  sums->high = _mm512_add_epi64(sums->high, _mm512_castpd_si512(high));
}

template <int kRows, bool kCheck, int kDigits>
QUATRAIN_AVX512 uint32_t Tile(const Int4Tile& record, const BlockList& list,
                              const DigitRows& x, int64_t* sums) {
  alignas(64) float scales[kHeaderLanes];
  RowSums fixed[kRows];
  for (RowSums& f : fixed) f.low = f.high = _mm512_setzero_si512();
  uint32_t marks = 0;
  const std::byte* tile = record.bytes;
  const std::byte* zeros = nullptr;
  for (int b = 0; b < list.num_blocks(); ++b) {
    const BlockSpan& block = list.blocks[b];
    if (b % kBlocksPerHeader == 0) {
      zeros = tile;
      for (int i = 0; i < kHeaderLanes; i += kTileRows)
        _mm512_store_ps(scales + i,
                        LoadScales(record.scale_dtype, tile + kHeaderLanes, i));
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
    AddBlock<kRows, kDigits>(tile, block, x, d);
    for (int r = 0; r < kRows; ++r) {
      const __m512 a = _mm512_set1_ps(x.scales[r * x.block_stride + b]);
      const __m512 c =
          _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(d[r]), a), s);
      if constexpr (kCheck) {
        const __mmask16 fits = _mm512_cmp_ps_mask(
            _mm512_abs_ps(c), _mm512_set1_ps(kMaxContribution), _CMP_LT_OQ);
        if (fits != 0xffff) marks |= 1u << r;
      }
      AddContributions(c, &fixed[r]);
    }
    tile += block.groups * kVectorBytes;
  }
  constexpr uint64_t kMagicBits = 0x4178000000000000u;  // of 1.5 * 2^24
  const __m512i offset = _mm512_set1_epi64(static_cast<int64_t>(
      static_cast<uint64_t>(list.num_blocks()) * kMagicBits));
  for (int r = 0; r < kRows; ++r) {
    int64_t* to = sums + r * kTileRows;
    _mm512_storeu_si512(to, _mm512_sub_epi64(fixed[r].low, offset));
    _mm512_storeu_si512(to + 8, _mm512_sub_epi64(fixed[r].high, offset));
  }
  return marks;
}

#define QUATRAIN_TILES(digits)                           \
  {                                                      \
    {Tile<1, false, digits>, Tile<1, true, digits>},     \
        {Tile<2, false, digits>, Tile<2, true, digits>}, \
        {Tile<3, false, digits>, Tile<3, true, digits>}, \
        {Tile<4, false, digits>, Tile<4, true, digits>}, \
        {Tile<5, false, digits>, Tile<5, true, digits>}, \
        {Tile<6, false, digits>, Tile<6, true, digits>}, \
        {Tile<7, false, digits>, Tile<7, true, digits>}, \
        {Tile<8, false, digits>, Tile<8, true, digits>}, \
  }
constexpr Int4Kernels kVnniKernels = {QUATRAIN_TILES(2), QUATRAIN_TILES(1),
                                      Arrange};
#undef QUATRAIN_TILES

}  // namespace
#if !defined(__clang__)
#pragma GCC pop_options
#endif

const Int4Kernels& Int4KernelsVnni() { return kVnniKernels; }

}  // namespace quatrain
#endif  // __x86_64__
