// kernels/math.h lane by lane, for vectors of f32: every line is the same IEEE
// operation, so the bits are the same. Included once per instruction set.

#if defined(QUATRAIN_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUATRAIN_MATH_INL_H_
#undef QUATRAIN_MATH_INL_H_
#else
#define QUATRAIN_MATH_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/hwy_targets.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE

template <class DF, class V>
HWY_INLINE V Exp(DF df, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<int32_t, DF> di;
  const V magic = hn::Set(df, 12582912.0f);
  const V low = hn::Set(df, -104.0f), high = hn::Set(df, 89.0f);
  x = hn::IfThenElse(hn::Lt(x, low), low, x);  // a NaN stays
  x = hn::IfThenElse(hn::Gt(x, high), high, x);
  const V shifted = hn::MulAdd(x, hn::Set(df, 1.44269504f), magic);
  const auto n = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, magic));
  const V nf = hn::Sub(shifted, magic);
  V r = hn::MulAdd(nf, hn::Set(df, -0.693359375f), x);
  r = hn::MulAdd(nf, hn::Set(df, 2.12194440e-4f), r);
  V p = hn::Set(df, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(df, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(df, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(df, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(df, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(df, 5.0000001201e-1f));
  p = hn::MulAdd(p, hn::Mul(r, r), r);
  p = hn::Add(p, hn::Set(df, 1.0f));
  const auto half = hn::ShiftRight<1>(n);
  const auto rest = hn::Sub(n, half);
  const auto bias = hn::Set(di, 127);
  const V first = hn::BitCast(df, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const V second = hn::BitCast(df, hn::ShiftLeft<23>(hn::Add(rest, bias)));
  return hn::Mul(hn::Mul(p, first), second);
}

template <class DF, class V>
HWY_INLINE V LogOfParts(DF df, V f, V e) {
  namespace hn = hwy::HWY_NAMESPACE;
  V p = hn::Set(df, 7.0376836292e-2f);
  p = hn::MulAdd(p, f, hn::Set(df, -1.1514610310e-1f));
  p = hn::MulAdd(p, f, hn::Set(df, 1.1676998740e-1f));
  p = hn::MulAdd(p, f, hn::Set(df, -1.2420140846e-1f));
  p = hn::MulAdd(p, f, hn::Set(df, 1.4249322787e-1f));
  p = hn::MulAdd(p, f, hn::Set(df, -1.6668057665e-1f));
  p = hn::MulAdd(p, f, hn::Set(df, 2.0000714765e-1f));
  p = hn::MulAdd(p, f, hn::Set(df, -2.4999993993e-1f));
  p = hn::MulAdd(p, f, hn::Set(df, 3.3333331174e-1f));
  const V square = hn::Mul(f, f);
  V y = hn::Mul(hn::Mul(f, square), p);
  y = hn::MulAdd(e, hn::Set(df, -2.12194440e-4f), y);
  y = hn::MulAdd(square, hn::Set(df, -0.5f), y);
  y = hn::Add(f, y);
  return hn::MulAdd(e, hn::Set(df, 0.693359375f), y);
}

// x = 2^e * (1 + f).
template <class DF, class V>
HWY_INLINE void SplitForLog(DF df, V x, V& f, V& e) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<int32_t, DF> di;
  const auto root = hn::Set(di, 0x3f3504f3);
  const auto bits = hn::Sub(hn::BitCast(di, x), root);
  e = hn::ConvertTo(df, hn::ShiftRight<23>(bits));
  const auto m = hn::Add(hn::And(bits, hn::Set(di, 0x007fffff)), root);
  f = hn::Sub(hn::BitCast(df, m), hn::Set(df, 1.0f));
}

template <class DF, class V>
HWY_INLINE V Log(DF df, V x) {
  V f = x, e = x;
  SplitForLog(df, x, f, e);
  return LogOfParts(df, f, e);
}

template <class DF, class V>
HWY_INLINE V Silu(DF df, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V e = Exp(df, hn::Neg(x));
  return hn::Div(x, hn::Add(hn::Set(df, 1.0f), e));
}

// The halving tree over the lanes of one vector.
template <class DF, class V>
HWY_INLINE float HalvingSumOfLanes(DF /*df*/, V v) {
  namespace hn = hwy::HWY_NAMESPACE;
  if constexpr (hn::MaxLanes(DF()) == 1) {
    return hn::GetLane(v);
  } else {
    const hn::Half<DF> half;
    return HalvingSumOfLanes(
        half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#endif  // QUATRAIN_MATH_INL_H_
