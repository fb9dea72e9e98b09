// Contributions as 64-bit integers in units of 2^-28, lane by lane what
// kernels/exact_sum.h says. Included once per instruction set.

#if defined(QUATRAIN_FIXED_SUM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUATRAIN_FIXED_SUM_INL_H_
#undef QUATRAIN_FIXED_SUM_INL_H_
#else
#define QUATRAIN_FIXED_SUM_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/hwy_targets.h"
#include "kernels/exact_sum.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE

// False if a lane is 2^23 or more, infinite or not a number.
template <class DF, class V>
HWY_INLINE bool ContributionsFit(DF df, V c) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::AllTrue(df, hn::Lt(hn::Abs(c), hn::Set(df, kMaxContribution)));
}

// fixed[lane] += the bits of c + 1.5 * 2^24 in f64. StoreSums takes off the
// bits of 1.5 * 2^24 once for all.
template <class DF, class V>
HWY_INLINE void AddContributions(DF /*df*/, V c, uint64_t* fixed) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Half<DF> half;
  const hn::Rebind<double, decltype(half)> dd;
  const hn::Rebind<uint64_t, decltype(half)> du;
  const auto magic = hn::Set(dd, 0x1.8p24);
  const auto low = hn::Add(hn::PromoteTo(dd, hn::LowerHalf(half, c)), magic);
  const auto high = hn::Add(hn::PromoteTo(dd, hn::UpperHalf(half, c)), magic);
  uint64_t* upper = fixed + hn::MaxLanes(half);
  hn::StoreU(hn::Add(hn::LoadU(du, fixed), hn::BitCast(du, low)), du, fixed);
  hn::StoreU(hn::Add(hn::LoadU(du, upper), hn::BitCast(du, high)), du, upper);
}

// sums[i] = fixed[i] without the `added` magic constants.
HWY_INLINE void StoreSums(const uint64_t* fixed, int count, int added,
                          int64_t* sums) {
  constexpr uint64_t kMagicBits = 0x4178000000000000u;  // of 1.5 * 2^24
  const uint64_t offset = static_cast<uint64_t>(added) * kMagicBits;
  for (int i = 0; i < count; ++i)
    sums[i] = static_cast<int64_t>(fixed[i] - offset);
}

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#endif  // QUATRAIN_FIXED_SUM_INL_H_
