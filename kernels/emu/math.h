#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

// Correctly rounded arithmetic, as spelled in kernels. Compiled with
// -ffp-contract=off, so that nothing is fused that does not say so.

inline float __fmaf_rn(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline double __fma_rn(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
inline double __drcp_rn(double x) { return 1.0 / x; }

namespace simt::emu {

// cvt to integers saturates; NaN becomes 0 as 32 bits and 2^63 as 64
// (CUDA Math API, type casting intrinsics).
template <typename I, typename F>
I SaturatingCast(F rounded) {
  using Limits = std::numeric_limits<I>;
  if (rounded != rounded)
    return sizeof(I) == 4 ? I{0}
                          : static_cast<I>(uint64_t{1} << (sizeof(I) * 8 - 1));
  if (rounded <= static_cast<F>(Limits::min())) return Limits::min();
  // 2^n is exact in F, the maximum may not be.
  if (rounded >= -2 * static_cast<F>(Limits::min() / 2) && Limits::is_signed)
    return Limits::max();
  if (rounded >= static_cast<F>(Limits::max() / 2 + 1) * 2)
    return Limits::max();
  return static_cast<I>(rounded);
}

}  // namespace simt::emu

#define SIMT_CAST(name, I, F, round) \
  inline I name(F x) { return simt::emu::SaturatingCast<I, F>(round(x)); }
SIMT_CAST(__float2int_rn, int, float, __builtin_rintf)
SIMT_CAST(__float2int_rz, int, float, __builtin_truncf)
SIMT_CAST(__float2int_rd, int, float, __builtin_floorf)
SIMT_CAST(__float2int_ru, int, float, __builtin_ceilf)
SIMT_CAST(__float2uint_rn, unsigned, float, __builtin_rintf)
SIMT_CAST(__float2uint_rz, unsigned, float, __builtin_truncf)
SIMT_CAST(__float2ll_rn, long long, float, __builtin_rintf)
SIMT_CAST(__float2ll_rz, long long, float, __builtin_truncf)
SIMT_CAST(__float2ull_rn, unsigned long long, float, __builtin_rintf)
SIMT_CAST(__double2int_rn, int, double, __builtin_rint)
SIMT_CAST(__double2int_rz, int, double, __builtin_trunc)
SIMT_CAST(__double2ll_rn, long long, double, __builtin_rint)
SIMT_CAST(__double2ll_rz, long long, double, __builtin_trunc)
#undef SIMT_CAST

inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __ll2float_rn(long long x) { return static_cast<float>(x); }
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned x) { return x; }
inline double __ll2double_rn(long long x) { return static_cast<double>(x); }
inline double __ull2double_rn(unsigned long long x) {
  return static_cast<double>(x);
}
inline float __double2float_rn(double x) { return static_cast<float>(x); }

// CUDA's approximate functions. Here they are exact to a rounding or two: a
// test's tolerance must hold for both. Macros, because glibc declares functions
// with some of these names.
inline float rsqrtf(float x) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
#define __expf(x) (::std::exp(static_cast<float>(x)))
#define __exp10f(x) (::std::pow(10.0f, static_cast<float>(x)))
#define __logf(x) (::std::log(static_cast<float>(x)))
#define __log2f(x) (::std::log2(static_cast<float>(x)))
#define __log10f(x) (::std::log10(static_cast<float>(x)))
#define __sinf(x) (::std::sin(static_cast<float>(x)))
#define __cosf(x) (::std::cos(static_cast<float>(x)))
#define __powf(x, y) (::std::pow(static_cast<float>(x), static_cast<float>(y)))

// min and max of two arithmetic types, as CUDA has them without std.
template <typename A, typename B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b)
                                               : static_cast<T>(a);
}
template <typename A, typename B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b)
                                               : static_cast<T>(a);
}
