#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/emu/math.h"

// What the toolkit's half types lack for a host compiler.
namespace simt::emu {

// a * b + c rounded to odd in double, so that rounding it again to 8 or 11
// bits is right: the product is exact, the sum may not be.
inline double FmaToOdd(double a, double b, double c) {
  const double product = a * b;
  double sum = product + c;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (c - part);
  int64_t bits;
  std::memcpy(&bits, &sum, sizeof(bits));
  if (error != 0 && std::isfinite(sum) && (bits & 1) == 0) {
    bits += (error > 0) == (sum > 0) ? 1 : -1;
    std::memcpy(&sum, &bits, sizeof(bits));
  }
  return sum;
}

}  // namespace simt::emu

inline __half __hfma(__half a, __half b, __half c) {
  return __double2half(
      simt::emu::FmaToOdd(__half2float(a), __half2float(b), __half2float(c)));
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
  return __half2(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
  return __double2bfloat16(simt::emu::FmaToOdd(
      __bfloat162float(a), __bfloat162float(b), __bfloat162float(c)));
}
inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b,
                              __nv_bfloat162 c) {
  return __nv_bfloat162(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}

// Through float: more exact than the GPU's.
#define SIMT_HALF_FUNCTION(name, expression)           \
  inline __half h##name(__half a) {                    \
    const float x = __half2float(a);                   \
    return __float2half_rn(expression);                \
  }                                                    \
  inline __half2 h2##name(__half2 a) {                 \
    return __half2(h##name(a.x), h##name(a.y));        \
  }                                                    \
  inline __nv_bfloat16 h##name(__nv_bfloat16 a) {      \
    const float x = __bfloat162float(a);               \
    return __float2bfloat16_rn(expression);            \
  }                                                    \
  inline __nv_bfloat162 h2##name(__nv_bfloat162 a) {   \
    return __nv_bfloat162(h##name(a.x), h##name(a.y)); \
  }
SIMT_HALF_FUNCTION(exp, std::exp(x))
SIMT_HALF_FUNCTION(exp2, std::exp2(x))
SIMT_HALF_FUNCTION(log, std::log(x))
SIMT_HALF_FUNCTION(log2, std::log2(x))
SIMT_HALF_FUNCTION(sqrt, std::sqrt(x))
SIMT_HALF_FUNCTION(rsqrt, rsqrtf(x))
SIMT_HALF_FUNCTION(rcp, 1.0f / x)
SIMT_HALF_FUNCTION(rint, std::rint(x))
SIMT_HALF_FUNCTION(floor, std::floor(x))
SIMT_HALF_FUNCTION(ceil, std::ceil(x))
SIMT_HALF_FUNCTION(trunc, std::trunc(x))
#undef SIMT_HALF_FUNCTION

inline int __half2int_rn(__half a) { return __float2int_rn(__half2float(a)); }
inline int __bfloat162int_rn(__nv_bfloat16 a) {
  return __float2int_rn(__bfloat162float(a));
}
