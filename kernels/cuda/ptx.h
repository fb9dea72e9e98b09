#pragma once

// Every PTX instruction that kernels use, wrapped once. All take generic
// pointers; the 32-bit shared addresses stay in here. Names of fragments: lane
// = 4 * g + t. The host branch (kernels/emu/ptx_host.h) has the same functions.

#include <cstdint>

#include "kernels/cuda/simt.h"

#if defined(__CUDACC__)

#include <cuda.h>  // CUtensorMap; nothing of the driver is linked

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

// --- sm_90: barriers in shared memory and bulk copies
// -------------------------
//
// Traps elsewhere. An mbarrier is a uint64_t in shared memory.

#if __CUDA_ARCH__ >= 900
#define PTX_SM90(...) asm volatile(__VA_ARGS__)
#else
#define PTX_SM90(...) __trap()
#endif

// By one thread; the others see it after fence_mbarrier_init and a barrier.
__device__ __forceinline__ void mbarrier_init(uint64_t* barrier,
                                              uint32_t count) {
  PTX_SM90(
      "mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(count)
      : "memory");
}
__device__ __forceinline__ void fence_mbarrier_init() {
  PTX_SM90("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void mbarrier_arrive(uint64_t* barrier) {
  PTX_SM90(
      "{.reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0];}" ::"r"(
          shared_address(barrier))
      : "memory");
}
// The phase ends only when so many bytes more have been copied.
__device__ __forceinline__ void mbarrier_expect_tx(uint64_t* barrier,
                                                   uint32_t bytes) {
  PTX_SM90("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(
               shared_address(barrier)),
           "r"(bytes)
           : "memory");
}
__device__ __forceinline__ void mbarrier_arrive_expect_tx(uint64_t* barrier,
                                                          uint32_t bytes) {
  PTX_SM90("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
               shared_address(barrier)),
           "r"(bytes)
           : "memory");
}
// Whether the phase of this parity (0 for the first) is over. In a loop, with
// simt::yield().
__device__ __forceinline__ bool mbarrier_try_wait_parity(uint64_t* barrier,
                                                         uint32_t parity) {
  uint32_t done = 0;
  PTX_SM90(
      "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
      "selp.u32 %0, 1, 0, p;}"
      : "=r"(done)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return done != 0;
}
// Between ordinary writes to shared memory and wgmma that reads them.
__device__ __forceinline__ void fence_proxy_async() {
  PTX_SM90("fence.proxy.async.shared::cta;" ::: "memory");
}

// All on 16-byte boundaries, `bytes` too.
__device__ __forceinline__ void bulk_copy_to_shared(void* shared,
                                                    const void* global,
                                                    uint32_t bytes,
                                                    uint64_t* barrier) {
  PTX_SM90(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1], %2, [%3];" ::"r"(shared_address(shared)),
      "l"(global_address(global)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

// A kernel's parameter of it is `const __grid_constant__ ptx::TensorMap`.
using TensorMap = CUtensorMap;

// The box whose first element is (column, row), zero outside of the matrix; its
// rows lie one after the other. Counts the whole box's bytes.
__device__ __forceinline__ void bulk_tensor_2d(void* shared,
                                               const TensorMap& map, int column,
                                               int row, uint64_t* barrier) {
  PTX_SM90(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx"
      "::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(barrier)), "r"(column), "r"(row)
      : "memory");
}

// Describes a row-major matrix of elements of 1, 2 or 4 bytes. swizzle128: as
// wgmma reads it; a box is then at most 128 bytes wide and lies on a 1024-byte
// boundary. False if the driver refuses.
inline bool make_tensor_map_2d(TensorMap* map, const void* base,
                               int element_bytes, uint64_t columns,
                               uint64_t rows, uint64_t row_bytes,
                               uint32_t box_columns, uint32_t box_rows,
                               bool swizzle128) {
  constexpr const char* kName = "cuTensorMapEncodeTiled";
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found;
#if CUDART_VERSION >= 12050
  const cudaError_t error = cudaGetDriverEntryPointByVersion(
      kName, &entry, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t error =
      cudaGetDriverEntryPoint(kName, &entry, cudaEnableDefault, &found);
#endif
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess)
    return false;
  const cuuint64_t sizes[2] = {columns, rows};
  const cuuint64_t strides[1] = {row_bytes};
  const cuuint32_t box[2] = {box_columns, box_rows};
  const cuuint32_t steps[2] = {1, 1};
  const CUtensorMapDataType type =
      element_bytes == 1   ? CU_TENSOR_MAP_DATA_TYPE_UINT8
      : element_bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_UINT16
                           : CU_TENSOR_MAP_DATA_TYPE_UINT32;
  const auto encode =
      reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  return encode(map, type, 2, const_cast<void*>(base), sizes, strides, box,
                steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle128 ? CU_TENSOR_MAP_SWIZZLE_128B
                           : CU_TENSOR_MAP_SWIZZLE_NONE,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// --- sm_90a: wgmma m64nNk16, d (+)= a * b
// ---------------------------------------
//
// By the 128 threads of a warpgroup; N is twice the length of d: 8, 16, 32, 64,
// 128 or 256. Warp w holds rows 16w..: element e of lane l is row 16w + l/4 +
// 8 * (e/2 % 2), column 8 * (e/4) + 2 * (l%4) + e%2. a: registers as of
// m16n8k16, or a descriptor of 64 rows; b: a descriptor of N rows, each 64
// halves of k. d and a's registers may not be touched before the wait.

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define PTX_SM90A(...) asm volatile(__VA_ARGS__)
#else
#define PTX_SM90A(...) __trap()
#endif

// Of rows of 128 bytes under the 128-byte swizzle; 8 rows every `stride_bytes`.
// The next 16 of k: plus 2.
__device__ __forceinline__ uint64_t
wgmma_descriptor(const void* tile, uint32_t stride_bytes = 1024) {
  return uint64_t{1} << 62 | static_cast<uint64_t>(stride_bytes >> 4) << 32 |
         uint64_t{1} << 16 | (shared_address(tile) >> 4 & 0x3FFF);
}
// Before the first wgmma that touches registers written otherwise.
__device__ __forceinline__ void wgmma_fence() {
  PTX_SM90A("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  PTX_SM90A("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until all but the latest N groups are done.
template <int N>
__device__ __forceinline__ void wgmma_wait() {
  PTX_SM90A("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

#define PTX_TEXT_4 "%0,%1,%2,%3"
#define PTX_TEXT_8 \
  PTX_TEXT_4       \
  ","              \
  "%4,%5,%6,%7"
#define PTX_TEXT_16 \
  PTX_TEXT_8        \
  ","               \
  "%8,%9,%10,%11,%12,%13,%14,%15"
#define PTX_TEXT_32 \
  PTX_TEXT_16       \
  ","               \
  "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define PTX_TEXT_64                                                  \
  PTX_TEXT_32                                                        \
  ","                                                                \
  "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
  "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define PTX_TEXT_128                                                       \
  PTX_TEXT_64                                                              \
  ","                                                                      \
  "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"       \
  "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"       \
  "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%"    \
  "110,%111,"                                                              \
  "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125," \
  "%126,%127"
#define PTX_OUT_4(d, i) \
  "+f"((d)[i]), "+f"((d)[i + 1]), "+f"((d)[i + 2]), "+f"((d)[i + 3])
#define PTX_OUT_8(d, i) PTX_OUT_4(d, i), PTX_OUT_4(d, i + 4)
#define PTX_OUT_16(d, i) PTX_OUT_8(d, i), PTX_OUT_8(d, i + 8)
#define PTX_OUT_32(d, i) PTX_OUT_16(d, i), PTX_OUT_16(d, i + 16)
#define PTX_OUT_64(d, i) PTX_OUT_32(d, i), PTX_OUT_32(d, i + 32)
#define PTX_OUT_128(d, i) PTX_OUT_64(d, i), PTX_OUT_64(d, i + 64)

// r: registers of d; n: twice that. p0...: the numbers of the operands after d.
#define PTX_WGMMA(name, types, n, r, p0, p1, p2, p3, p4, p5)                 \
  __device__ __forceinline__ void name(float(&d)[r], uint64_t a, uint64_t b, \
                                       bool accumulate = true) {             \
    PTX_SM90A("{.reg .pred p; setp.ne.b32 p, " p2                            \
              ", 0; wgmma.mma_async.sync.aligned.m64n" n "k16." types        \
              " {" PTX_TEXT_##r "}, " p0 ", " p1 ", p, 1, 1, 0, 0;}"         \
              : PTX_OUT_##r(d, 0)                                            \
              : "l"(a), "l"(b), "r"(static_cast<int>(accumulate))            \
              : "memory");                                                   \
  }                                                                          \
  __device__ __forceinline__ void name(float(&d)[r], const uint32_t(&a)[4],  \
                                       uint64_t b, bool accumulate = true) { \
    PTX_SM90A("{.reg .pred p; setp.ne.b32 p, " p5                            \
              ", 0; wgmma.mma_async.sync.aligned.m64n" n "k16." types        \
              " {" PTX_TEXT_##r "}, {" p0 "," p1 "," p2 "," p3 "}, " p4      \
                                ", p, 1, 1, 0;}"                             \
              : PTX_OUT_##r(d, 0)                                            \
              : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),          \
                "r"(static_cast<int>(accumulate))                            \
              : "memory");                                                   \
  }
#define PTX_WGMMA_TYPES(n, r, ...)                              \
  PTX_WGMMA(wgmma_m64k16_f16, "f32.f16.f16", n, r, __VA_ARGS__) \
  PTX_WGMMA(wgmma_m64k16_bf16, "f32.bf16.bf16", n, r, __VA_ARGS__)
PTX_WGMMA_TYPES("8", 4, "%4", "%5", "%6", "%7", "%8", "%9")
PTX_WGMMA_TYPES("16", 8, "%8", "%9", "%10", "%11", "%12", "%13")
PTX_WGMMA_TYPES("32", 16, "%16", "%17", "%18", "%19", "%20", "%21")
PTX_WGMMA_TYPES("64", 32, "%32", "%33", "%34", "%35", "%36", "%37")
PTX_WGMMA_TYPES("128", 64, "%64", "%65", "%66", "%67", "%68", "%69")
PTX_WGMMA_TYPES("256", 128, "%128", "%129", "%130", "%131", "%132", "%133")
#undef PTX_TEXT_4
#undef PTX_OUT_4
#undef PTX_TEXT_8
#undef PTX_OUT_8
#undef PTX_TEXT_16
#undef PTX_OUT_16
#undef PTX_TEXT_32
#undef PTX_OUT_32
#undef PTX_TEXT_64
#undef PTX_OUT_64
#undef PTX_TEXT_128
#undef PTX_OUT_128
#undef PTX_WGMMA_TYPES
#undef PTX_WGMMA
#undef PTX_SM90A
#undef PTX_SM90

}  // namespace ptx

#else

#include "kernels/emu/ptx_host.h"  // IWYU pragma: export

#endif
