#pragma once

// Every PTX instruction that kernels use, wrapped once. All take generic
// pointers; the 32-bit shared addresses stay in here. Names of fragments: lane
// = 4 * g + t. The host branch (kernels/emu/ptx_host.h) has the same functions.

#include <cstdint>

#include "kernels/cuda/simt.h"

#if defined(__CUDACC__)

namespace ptx {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
__device__ __forceinline__ uint64_t global_address(const void* pointer) {
  return __cvta_generic_to_global(pointer);
}

// --- Tensor cores: d += a * b ----------------------------------------------
//
// m16n8k32, bytes, lowest first. a0: row g, k 4t..4t+3; a1: row g + 8, the same
// k; a2, a3: the same rows, k 16 + 4t... b0: k 4t..4t+3 of column g; b1: k 16 +
// 4t... d0, d1: row g, columns 2t, 2t + 1; d2, d3: row g + 8.
#define PTX_MMA_INT8(name, types)                                             \
  __device__ __forceinline__ void name(int32_t(&d)[4], const uint32_t(&a)[4], \
                                       const uint32_t(&b)[2]) {               \
    asm volatile("mma.sync.aligned.m16n8k32.row.col." types                   \
                 " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"     \
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])             \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]),     \
                   "r"(b[1]));                                                \
  }
PTX_MMA_INT8(mma_m16n8k32_u8s8, "s32.u8.s8.s32")
PTX_MMA_INT8(mma_m16n8k32_s8s8, "s32.s8.s8.s32")
#undef PTX_MMA_INT8

// m16n8k16, pairs, lower half first. a0: row g, k 2t, 2t + 1; a1: row g + 8,
// the same k; a2, a3: the same rows, k 8 + 2t... b0: k 2t, 2t + 1 of column g;
// b1: k 8 + 2t... d as above.
#define PTX_MMA_HALF(name, types)                                           \
  __device__ __forceinline__ void name(float(&d)[4], const uint32_t(&a)[4], \
                                       const uint32_t(&b)[2]) {             \
    asm volatile("mma.sync.aligned.m16n8k16.row.col." types                 \
                 " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"   \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]),   \
                   "r"(b[1]));                                              \
  }
PTX_MMA_HALF(mma_m16n8k16_f16, "f32.f16.f16.f32")
PTX_MMA_HALF(mma_m16n8k16_bf16, "f32.bf16.bf16.f32")
#undef PTX_MMA_HALF

// --- ldmatrix --------------------------------------------------------------
//
// Lanes 8j..8j+7 give the rows of 8x8 matrix j, 16 bytes each and on a 16-byte
// boundary. r[j]: M[g][2t], M[g][2t + 1]; transposed M[2t][g], M[2t + 1][g].
#define PTX_LDMATRIX_1(name, modifier)                                     \
  __device__ __forceinline__ void name(uint32_t(&r)[1], const void* row) { \
    asm volatile("ldmatrix.sync.aligned.m8n8.x1" modifier                  \
                 ".shared.b16 {%0}, [%1];"                                 \
                 : "=r"(r[0])                                              \
                 : "r"(shared_address(row))                                \
                 : "memory");                                              \
  }
#define PTX_LDMATRIX_2(name, modifier)                                     \
  __device__ __forceinline__ void name(uint32_t(&r)[2], const void* row) { \
    asm volatile("ldmatrix.sync.aligned.m8n8.x2" modifier                  \
                 ".shared.b16 {%0,%1}, [%2];"                              \
                 : "=r"(r[0]), "=r"(r[1])                                  \
                 : "r"(shared_address(row))                                \
                 : "memory");                                              \
  }
#define PTX_LDMATRIX_4(name, modifier)                                     \
  __device__ __forceinline__ void name(uint32_t(&r)[4], const void* row) { \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" modifier                  \
                 ".shared.b16 {%0,%1,%2,%3}, [%4];"                        \
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])          \
                 : "r"(shared_address(row))                                \
                 : "memory");                                              \
  }
PTX_LDMATRIX_1(ldmatrix_x1, "")
PTX_LDMATRIX_2(ldmatrix_x2, "")
PTX_LDMATRIX_4(ldmatrix_x4, "")
PTX_LDMATRIX_1(ldmatrix_x1_trans, ".trans")
PTX_LDMATRIX_2(ldmatrix_x2_trans, ".trans")
PTX_LDMATRIX_4(ldmatrix_x4_trans, ".trans")
#undef PTX_LDMATRIX_1
#undef PTX_LDMATRIX_2
#undef PTX_LDMATRIX_4

// --- cp.async --------------------------------------------------------------
//
// Both sides on their natural boundary; bytes past `src_bytes` become 0, with 0
// the source is not touched. Visible to the copying thread after its wait, to
// others after a barrier that follows.
__device__ __forceinline__ void cp_async16(void* shared, const void* global,
                                           int src_bytes = 16) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(
                   shared_address(shared)),
               "l"(global_address(global)), "r"(src_bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async8(void* shared, const void* global,
                                          int src_bytes = 8) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(
                   shared_address(shared)),
               "l"(global_address(global)), "r"(src_bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async4(void* shared, const void* global,
                                          int src_bytes = 4) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(
                   shared_address(shared)),
               "l"(global_address(global)), "r"(src_bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until all but the latest N groups have arrived.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// --- Loads of what is read once and not written in this launch --------------

__device__ __forceinline__ uint4 load_stream16(const void* global) {
  uint4 v;
  asm volatile(
      "ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(global_address(global)));
  return v;
}
__device__ __forceinline__ uint2 load_stream8(const void* global) {
  uint2 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v2.u32 {%0,%1}, [%2];"
               : "=r"(v.x), "=r"(v.y)
               : "l"(global_address(global)));
  return v;
}
__device__ __forceinline__ uint32_t load_stream4(const void* global) {
  uint32_t v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.u32 %0, [%1];"
               : "=r"(v)
               : "l"(global_address(global)));
  return v;
}
__device__ __forceinline__ void prefetch_l2(const void* global) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(global_address(global)));
}

// --- Integers --------------------------------------------------------------

// Bit by bit the entry of LUT at (a, b, c), a being the 4s bit.
template <int LUT>
__device__ __forceinline__ uint32_t lop3(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result;
  asm volatile("lop3.b32 %0, %1, %2, %3, %4;"
               : "=r"(result)
               : "r"(a), "r"(b), "r"(c), "n"(LUT));
  return result;
}

// --- Barriers and order ------------------------------------------------------

// Barrier `id`, 1 to 15, of `threads` threads (a multiple of 32), who come by
// whole warps. arrive does not wait.
__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ uint32_t load_acquire(const uint32_t* word) {
  uint32_t value;
  asm volatile("ld.acquire.gpu.u32 %0, [%1];"
               : "=r"(value)
               : "l"(word)
               : "memory");
  return value;
}
__device__ __forceinline__ void store_release(uint32_t* word, uint32_t value) {
  asm volatile("st.release.gpu.u32 [%0], %1;" ::"l"(word), "r"(value)
               : "memory");
}
// Returns what was there before.
__device__ __forceinline__ uint32_t add_release(uint32_t* word,
                                                uint32_t value) {
  uint32_t old;
  asm volatile("atom.add.release.gpu.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(word), "r"(value)
               : "memory");
  return old;
}

// --- Approximate functions ---------------------------------------------------

__device__ __forceinline__ float ex2_approx(float x) {
  float result;
  asm volatile("ex2.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
__device__ __forceinline__ float rcp_approx(float x) {
  float result;
  asm volatile("rcp.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// --- Programmatic dependent launch (nothing before sm_90)
// ---------------------

// Until the launch before this one has ended and its writes are seen.
__device__ __forceinline__ void grid_dependency_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The launch after this one may start its blocks.
__device__ __forceinline__ void grid_dependency_launch() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace ptx

#else

#include "kernels/emu/ptx_host.h"  // IWYU pragma: export

#endif
