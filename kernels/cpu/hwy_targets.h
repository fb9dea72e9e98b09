// Included before hwy/foreach_target.h by every file that is compiled once per
// instruction set: which of Highway's targets there are. Targets without fused
// multiply-add cannot give the defined bits, and vectors of unknown length do
// not fit the packed records, so they are left out.
//
// Highway insists on a baseline target. Where that is its scalar one (x86-64
// without -march), the files skip it: QUATRAIN_HWY_USABLE is 0.

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif

#define QUATRAIN_HWY_USABLE \
  ((HWY_TARGET & (HWY_AVX2 | HWY_AVX3 | HWY_NEON)) != 0)
