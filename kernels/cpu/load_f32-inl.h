// Stored elements as vectors of f32. Included once per instruction set.

#if defined(QUATRAIN_LOAD_F32_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUATRAIN_LOAD_F32_INL_H_
#undef QUATRAIN_LOAD_F32_INL_H_
#else
#define QUATRAIN_LOAD_F32_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/hwy_targets.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE

template <class DF>
HWY_INLINE auto LoadF32(DF df, const hwy::float16_t* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::PromoteTo(df, hn::LoadU(hn::Rebind<hwy::float16_t, DF>(), from));
}

template <class DF>
HWY_INLINE auto LoadF32(DF df, const hwy::bfloat16_t* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<uint16_t, DF> du16;
  const hn::Rebind<uint32_t, DF> du32;
  const auto bits = hn::LoadU(du16, reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du32, bits)));
}

template <class DF>
HWY_INLINE auto LoadF32(DF df, const float* from) {
  return hwy::HWY_NAMESPACE::LoadU(df, from);
}

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#endif  // QUATRAIN_LOAD_F32_INL_H_
