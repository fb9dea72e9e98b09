#pragma once

#include "base/check.h"
#include "hwy/detect_targets.h"
#include "kernels/cpu/isa.h"

// Body of a function (Isa isa) that returns `name` of that instruction set's
// namespace: QUATRAIN_CHOOSE_TARGET(kTable). For HWY_ONCE sections. VNNI and
// AMX only add products to AVX-512; whoever has a faster one asks first.
#define QUATRAIN_CHOOSE_TARGET(name)                           \
  switch (isa) {                                               \
    QUATRAIN_CASE_AVX2_(name)                                  \
    QUATRAIN_CASE_AVX3_(name)                                  \
    QUATRAIN_CASE_NEON_(name)                                  \
    default:                                                   \
      break;                                                   \
  }                                                            \
  CHECK(false) << "no code for instruction set " << Name(isa); \
  __builtin_unreachable()

#if HWY_TARGETS & HWY_AVX2
#define QUATRAIN_CASE_AVX2_(name) \
  case Isa::kAvx2:                \
    return N_AVX2::name;
#else
#define QUATRAIN_CASE_AVX2_(name)
#endif

#if HWY_TARGETS & HWY_AVX3
#define QUATRAIN_CASE_AVX3_(name) \
  case Isa::kAvx512:              \
  case Isa::kAvx512Vnni:          \
  case Isa::kAmx:                 \
  case Isa::kAmxEmulated:         \
    return N_AVX3::name;
#else
#define QUATRAIN_CASE_AVX3_(name)
#endif

#if HWY_TARGETS & HWY_NEON
#define QUATRAIN_CASE_NEON_(name) \
  case Isa::kNeon:                \
    return N_NEON::name;
#else
#define QUATRAIN_CASE_NEON_(name)
#endif
