#pragma once

// Scales of a tile's header as f32, by AVX-512. For the files that say for
// which instructions they are compiled (QUATRAIN_AVX512_INLINE).

#include "kernels/cpu/int4_record.h"

namespace quatrain {
namespace {

// 16 scales from place `lane` of a header.
QUATRAIN_AVX512_INLINE __m512 LoadScales(DType dtype, const std::byte* scales,
                                         int lane) {
  const auto* bits =
      reinterpret_cast<const __m256i*>(scales + lane * SizeOf(dtype));
  if (dtype == DType::kF16) return _mm512_cvtph_ps(_mm256_loadu_si256(bits));
  if (dtype == DType::kF32) return _mm512_loadu_ps(bits);
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(bits)), 16));
}

}  // namespace
}  // namespace quatrain
