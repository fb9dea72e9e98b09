#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// The functions and orders of summation that docs/numerics.md defines, for one
// value. Every step is one IEEE operation, rounded to nearest even, so that
// vector code repeats them lane by lane and gets the same bits. `a * b + c` is
// two roundings (-ffp-contract=off), std::fma(a, b, c) is one.
namespace quatrain {

// e^x for every x: 0 below -104, infinity above 88.73, subnormal results
// rounded correctly, NaN stays NaN (its payload is unspecified). Exp(0) == 1.
// Error below 1 ulp. Reduction and polynomial are those of Cephes' expf.
inline float Exp(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  // x = n * ln 2 + r, |r| <= ln 2 / 2.
  const float shifted = std::fma(x, 1.44269504f, kMagic);
  const int32_t n =
      std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kMagic);
  const float nf = shifted - kMagic;
  float r = std::fma(nf, -0.693359375f, x);
  r = std::fma(nf, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  p = std::fma(p, r * r, r);
  p = p + 1.0f;
  // Times 2^n, n in [-150, 128], by two normal powers: the first product is
  // exact, so a subnormal result is rounded once. Unsigned arithmetic only
  // because n is arbitrary where x is NaN.
  const uint32_t half = static_cast<uint32_t>(n >> 1);
  const uint32_t rest = static_cast<uint32_t>(n) - half;
  return p * std::bit_cast<float>((half + 127u) << 23) *
         std::bit_cast<float>((rest + 127u) << 23);
}

// log(2^e * (1 + f)) for 1 + f in [sqrt(1/2), sqrt(2)): Cephes' logf.
inline float LogOfParts(float f, float e) {
  float p = 7.0376836292e-2f;
  p = std::fma(p, f, -1.1514610310e-1f);
  p = std::fma(p, f, 1.1676998740e-1f);
  p = std::fma(p, f, -1.2420140846e-1f);
  p = std::fma(p, f, 1.4249322787e-1f);
  p = std::fma(p, f, -1.6668057665e-1f);
  p = std::fma(p, f, 2.0000714765e-1f);
  p = std::fma(p, f, -2.4999993993e-1f);
  p = std::fma(p, f, 3.3333331174e-1f);
  const float square = f * f;
  float y = (f * square) * p;
  y = std::fma(e, -2.12194440e-4f, y);
  y = std::fma(square, -0.5f, y);
  y = f + y;
  return std::fma(e, 0.693359375f, y);
}

// x = 2^e * (1 + f) as LogOfParts wants it. x: positive, normal, finite.
struct LogParts {
  float f, e;
};
inline LogParts SplitForLog(float x) {
  // 0x3f3504f3 is sqrt(1/2): subtracting it moves the boundary between
  // exponents there.
  const uint32_t bits = std::bit_cast<uint32_t>(x) - 0x3f3504f3u;
  const int32_t e = static_cast<int32_t>(bits) >> 23;  // arithmetic shift
  const float m = std::bit_cast<float>((bits & 0x007fffffu) + 0x3f3504f3u);
  return {m - 1.0f, static_cast<float>(e)};
}

// Natural logarithm of a positive, normal, finite x; for anything else some
// value that is the same everywhere. Error at most 2 ulp.
inline float Log(float x) {
  const LogParts parts = SplitForLog(x);
  return LogOfParts(parts.f, parts.e);
}

// Sine and cosine of x, |x| <= 2^25, in f64, each rounded to f32.
struct SinCosResult {
  float sin, cos;
};
SinCosResult SinCos(float x);

// Sums values[0, n) as a halving tree: the upper half is added to the lower,
// until one is left. n is a power of two. Overwrites `values`.
inline float HalvingSum(float* values, int n) {
  for (int half = n / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) values[i] = values[i] + values[i + half];
  return values[0];
}

// x / (1 + e^-x).
inline float Silu(float x) { return x / (1.0f + Exp(-x)); }

}  // namespace quatrain
