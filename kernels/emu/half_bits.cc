#include "kernels/emu/half_bits.h"

#include <cuda_fp16.h>

#include <bit>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace simt::emu {

void WidenHalves(const uint32_t* words, int count, float* out) {
#if defined(__F16C__)
  for (int i = 0; i < count; i += 4)
    _mm_storeu_ps(out + i,
                  _mm_cvtph_ps(_mm_loadl_epi64(
                      reinterpret_cast<const __m128i*>(words + i / 2))));
#else
  for (int i = 0; i < count; ++i)
    out[i] = __half2float(__ushort_as_half(
        static_cast<unsigned short>(words[i / 2] >> 16 * (i % 2))));
#endif
}

void WidenBfloats(const uint32_t* words, int count, float* out) {
  for (int i = 0; i < count; i += 2) {
    out[i] = std::bit_cast<float>(words[i / 2] << 16);
    out[i + 1] = std::bit_cast<float>(words[i / 2] & 0xFFFF0000u);
  }
}

}  // namespace simt::emu
