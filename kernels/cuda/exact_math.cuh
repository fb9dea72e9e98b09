#pragma once

#include <cstdint>

#include "kernels/cuda/simt.h"

// The functions of docs/numerics.md for one value, on a device: the same steps
// as kernels/math.h, each spelled out, so that no compiler may fuse two.
namespace quatrain::cuda {

__device__ __forceinline__ float NotANumber() {
  return __uint_as_float(0x7fc00000u);
}

__device__ __forceinline__ bool IsFinite(float x) {
  return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u;
}

__device__ __forceinline__ float Exp(float x) {
  constexpr float kMagic = 12582912.0f;
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shifted = __fmaf_rn(x, 1.44269504f, kMagic);
  // Unsigned arithmetic only: n is arbitrary where x is NaN.
  const int n =
      static_cast<int>(__float_as_uint(shifted) - __float_as_uint(kMagic));
  const float nf = __fsub_rn(shifted, kMagic);
  float r = __fmaf_rn(nf, -0.693359375f, x);
  r = __fmaf_rn(nf, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = __fmaf_rn(p, r, 1.3981999507e-3f);
  p = __fmaf_rn(p, r, 8.3334519073e-3f);
  p = __fmaf_rn(p, r, 4.1665795894e-2f);
  p = __fmaf_rn(p, r, 1.6666665459e-1f);
  p = __fmaf_rn(p, r, 5.0000001201e-1f);
  p = __fmaf_rn(p, __fmul_rn(r, r), r);
  p = __fadd_rn(p, 1.0f);
  const uint32_t half = static_cast<uint32_t>(n >> 1);
  const uint32_t rest = static_cast<uint32_t>(n) - half;
  p = __fmul_rn(p, __uint_as_float((half + 127u) << 23));
  return __fmul_rn(p, __uint_as_float((rest + 127u) << 23));
}

// log(2^e * (1 + f)) for 1 + f in [sqrt(1/2), sqrt(2)).
__device__ __forceinline__ float LogOfParts(float f, float e) {
  float p = 7.0376836292e-2f;
  p = __fmaf_rn(p, f, -1.1514610310e-1f);
  p = __fmaf_rn(p, f, 1.1676998740e-1f);
  p = __fmaf_rn(p, f, -1.2420140846e-1f);
  p = __fmaf_rn(p, f, 1.4249322787e-1f);
  p = __fmaf_rn(p, f, -1.6668057665e-1f);
  p = __fmaf_rn(p, f, 2.0000714765e-1f);
  p = __fmaf_rn(p, f, -2.4999993993e-1f);
  p = __fmaf_rn(p, f, 3.3333331174e-1f);
  const float square = __fmul_rn(f, f);
  float y = __fmul_rn(__fmul_rn(f, square), p);
  y = __fmaf_rn(e, -2.12194440e-4f, y);
  y = __fmaf_rn(square, -0.5f, y);
  y = __fadd_rn(f, y);
  return __fmaf_rn(e, 0.693359375f, y);
}

struct LogParts {
  float f, e;
};
__device__ __forceinline__ LogParts SplitForLog(float x) {
  const uint32_t bits = __float_as_uint(x) - 0x3f3504f3u;
  const int e = static_cast<int>(bits) >> 23;  // arithmetic shift
  const float m = __uint_as_float((bits & 0x007fffffu) + 0x3f3504f3u);
  return {__fsub_rn(m, 1.0f), __int2float_rn(e)};
}

// x: positive, normal, finite.
__device__ __forceinline__ float Log(float x) {
  const LogParts parts = SplitForLog(x);
  return LogOfParts(parts.f, parts.e);
}

__device__ __forceinline__ float Silu(float x) {
  return __fdiv_rn(x, __fadd_rn(1.0f, Exp(-x)));
}

// Sine and cosine of x, |x| <= 2^25, in f64, each rounded to f32.
struct SinCosResult {
  float sin, cos;
};

__device__ __forceinline__ double SinPolynomial(double r) {
  const double z = __dmul_rn(r, r);
  double p = 1.58969099521155010221e-10;
  p = __fma_rn(p, z, -2.50507602534068634195e-08);
  p = __fma_rn(p, z, 2.75573137070700676789e-06);
  p = __fma_rn(p, z, -1.98412698298579493134e-04);
  p = __fma_rn(p, z, 8.33333333332248946124e-03);
  p = __fma_rn(p, z, -1.66666666666666324348e-01);
  return __fma_rn(p, __dmul_rn(z, r), r);
}

__device__ __forceinline__ double CosPolynomial(double r) {
  const double z = __dmul_rn(r, r);
  double p = -1.13596475577881948265e-11;
  p = __fma_rn(p, z, 2.08757232129817482790e-09);
  p = __fma_rn(p, z, -2.75573143513906633035e-07);
  p = __fma_rn(p, z, 2.48015872894767294178e-05);
  p = __fma_rn(p, z, -1.38888888888741095749e-03);
  p = __fma_rn(p, z, 4.16666666666666019037e-02);
  p = __fma_rn(p, z, -0.5);
  return __fma_rn(p, z, 1.0);
}

__device__ __forceinline__ SinCosResult SinCos(float x) {
  constexpr double kTwoOverPi = 0.63661977236758138;  // 0x1.45f306dc9c883p-1
  constexpr double kHalfPi = 1.5707963267948966;      // 0x1.921fb54442d18p+0
  constexpr double kHalfPiRest =
      6.123233995736766e-17;                     // 0x1.1a62633145c07p-54
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = __fma_rn(static_cast<double>(x), kTwoOverPi, kMagic);
  const double n = __dsub_rn(shifted, kMagic);
  double r = __fma_rn(n, -kHalfPi, static_cast<double>(x));
  r = __fma_rn(n, -kHalfPiRest, r);
  const float sine = __double2float_rn(SinPolynomial(r));
  const float cosine = __double2float_rn(CosPolynomial(r));
  switch (__double_as_longlong(shifted) & 3) {  // n modulo 4
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

}  // namespace quatrain::cuda
