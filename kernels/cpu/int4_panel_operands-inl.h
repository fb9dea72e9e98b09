#pragma once

// What matrix tiles multiply: digits of activations in the order of PanelRows,
// and weights of a few blocks as bytes q - z. For int4_panel_amx.cc alone,
// which says for which instructions it is compiled.

#include <algorithm>
#include <cstring>

#include "kernels/cpu/int4_panel.h"
#include "kernels/cpu/load_scales-inl.h"

namespace quatrain {
namespace {

constexpr float kFixedOne = 0x1p28f;  // 1 in units of 2^-28

// 64 digits of 16 bits in kDigitOrder to 64 low and 64 high ones, k ascending.
QUATRAIN_AVX512_INLINE void SplitDigits(const int16_t* digits, std::byte* low,
                                        std::byte* high) {
  const __m512i half = _mm512_set1_epi16(0x80);
  const __m512i order =
      _mm512_set4_epi32(0x0f0d0e0c, 0x0b090a08, 0x07050604, 0x03010200);
  __m256i bytes[2][2];
  for (int i = 0; i < 2; ++i) {
    // high = (xi + 128) >> 8; low = xi - 256 * high, the lower byte.
    const __m512i xi = _mm512_loadu_si512(digits + i * kStepK / 2);
    bytes[0][i] = _mm512_cvtepi16_epi8(xi);
    bytes[1][i] =
        _mm512_cvtepi16_epi8(_mm512_srli_epi16(_mm512_add_epi16(xi, half), 8));
  }
  std::byte* const to[2] = {low, high};
  for (int d = 0; d < 2; ++d) {
    const __m512i all =
        _mm512_inserti64x4(_mm512_castsi256_si512(bytes[d][0]), bytes[d][1], 1);
    _mm512_storeu_si512(to[d], _mm512_shuffle_epi8(all, order));
  }
}

QUATRAIN_AVX512 void Arrange(const BlockList& list, const int16_t* digits,
                             const float* scales, int row,
                             const PanelRows& to) {
  const int unit_rows = UnitRows(to.num_digits);
  const int unit = row / unit_rows, in_unit = row % unit_rows;
  for (int b = 0; b < list.num_blocks(); ++b) {
    const BlockSpan& block = list.blocks[b];
    to.scales[int64_t{b} * to.padded_rows() + row] = scales[b];
    for (int s = 0; s < block.steps(); ++s) {
      alignas(64) int16_t padded[kStepK] = {};
      const int from = block.first_digit + s * kStepK;
      const int end = block.first_digit + block.groups * kGroupK;
      std::memcpy(padded, digits + from,
                  std::min(kStepK, end - from) * sizeof(int16_t));
      std::byte* pair = to.digits + ((int64_t{block.first_step} * to.units() +
                                      int64_t{unit} * block.steps() + s) *
                                     2 * kTileBytes);
      std::byte* line = pair + in_unit * kTileLine;
      alignas(64) std::byte unused[kTileLine];
      // With one digit the rows 16 to 31 follow rows 0 to 15 by themselves.
      SplitDigits(padded, line,
                  to.num_digits == 2 ? line + kTileBytes : unused);
    }
  }
}

// One block of one tile to matrices and scales.
QUATRAIN_AVX512_INLINE void ExpandBlock(const Int4Panel& panel, int tile, int b,
                                        std::byte* weights, float* scales) {
  const BlockList& list = panel.list;
  const std::byte* record = panel.tiles + tile * panel.tile_bytes;
  const std::byte* header = record + list.HeaderOffset(b, panel.scale_dtype);
  const std::byte* words = record + list.WordsOffset(b, panel.scale_dtype);
  const int lane = b % kBlocksPerHeader * kTileRows;
  _mm512_store_ps(scales, _mm512_mul_ps(LoadScales(panel.scale_dtype,
                                                   header + kHeaderLanes, lane),
                                        _mm512_set1_ps(kFixedOne)));
  const __m512i zero = _mm512_mullo_epi32(
      _mm512_cvtepu8_epi32(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(header + lane))),
      _mm512_set1_epi32(0x01010101));
  const __m512i mask = _mm512_set1_epi8(0x0f);
  for (int g = 0; g < list.blocks[b].groups; ++g) {
    const __m512i w = _mm512_loadu_si512(words + g * kVectorBytes);
    std::byte* to = weights + 2 * g * kTileLine;
    _mm512_store_si512(to, _mm512_sub_epi8(_mm512_and_si512(w, mask), zero));
    _mm512_store_si512(
        to + kTileLine,
        _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi32(w, 4), mask), zero));
  }
}

}  // namespace
}  // namespace quatrain
