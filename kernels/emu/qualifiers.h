#pragma once

// CUDA's words for a host compiler. After every toolkit header: they use the
// words too. __noinline__ stays: the C++ library writes it inside attributes.
#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __managed__
#undef __grid_constant__
#undef __launch_bounds__
#undef __maxnreg__
#undef __cluster_dims__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __cluster_dims__(...)
// One variable for all blocks would be the result; stop instead.
#define __shared__ \
  static_assert(false, "write SIMT_SHARED or SIMT_DYNAMIC_SHARED"),
#define __managed__ static_assert(false, "no managed memory"),

#define threadIdx (::simt::emu::View().thread_idx)
#define blockIdx (::simt::emu::View().block_idx)
#define blockDim (::simt::emu::View().block_dim)
#define gridDim (::simt::emu::View().grid_dim)

constexpr int warpSize = 32;

// In the check build the compiler calls a hook before each access, but copies
// structs and clears arrays by functions of the C library.
#if defined(__SANITIZE_THREAD__)
#define SIMT_HOOKED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIMT_HOOKED 1
#endif
#endif
#ifdef SIMT_HOOKED
asm("memcpy = __tsan_memcpy");
asm("memmove = __tsan_memmove");
asm("memset = __tsan_memset");
#endif
