#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/emu/hopper.h"
#include "kernels/emu/instructions.h"
#include "kernels/emu/load.h"
#include "kernels/emu/thread.h"

// kernels/cuda/ptx.h for a host compiler: the same functions, run by the
// engine. What each does is said there.
namespace ptx {

using simt::Place;

inline void mma_m16n8k32_u8s8(int32_t (&d)[4], const uint32_t (&a)[4],
                              const uint32_t (&b)[2],
                              Place where = Place::Here()) {
  simt::emu::MmaInt8(d, a, b, false, where);
}
inline void mma_m16n8k32_s8s8(int32_t (&d)[4], const uint32_t (&a)[4],
                              const uint32_t (&b)[2],
                              Place where = Place::Here()) {
  simt::emu::MmaInt8(d, a, b, true, where);
}
inline void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4],
                             const uint32_t (&b)[2],
                             Place where = Place::Here()) {
  simt::emu::MmaF16(d, a, b, where);
}
inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4],
                              const uint32_t (&b)[2],
                              Place where = Place::Here()) {
  simt::emu::MmaBf16(d, a, b, where);
}

inline void ldmatrix_x1(uint32_t (&r)[1], const void* row,
                        Place where = Place::Here()) {
  simt::emu::Ldmatrix(r, 1, false, row, where);
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void* row,
                        Place where = Place::Here()) {
  simt::emu::Ldmatrix(r, 2, false, row, where);
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row,
                        Place where = Place::Here()) {
  simt::emu::Ldmatrix(r, 4, false, row, where);
}
inline void ldmatrix_x1_trans(uint32_t (&r)[1], const void* row,
                              Place where = Place::Here()) {
  simt::emu::Ldmatrix(r, 1, true, row, where);
}
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row,
                              Place where = Place::Here()) {
  simt::emu::Ldmatrix(r, 2, true, row, where);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row,
                              Place where = Place::Here()) {
  simt::emu::Ldmatrix(r, 4, true, row, where);
}

inline void cp_async16(void* shared, const void* global, int src_bytes = 16,
                       Place where = Place::Here()) {
  simt::emu::CopyAsync(shared, global, 16, src_bytes, where);
}
inline void cp_async8(void* shared, const void* global, int src_bytes = 8,
                      Place where = Place::Here()) {
  simt::emu::CopyAsync(shared, global, 8, src_bytes, where);
}
inline void cp_async4(void* shared, const void* global, int src_bytes = 4,
                      Place where = Place::Here()) {
  simt::emu::CopyAsync(shared, global, 4, src_bytes, where);
}
inline void cp_async_commit() { simt::emu::CommitCopies(); }
template <int N>
void cp_async_wait() {
  simt::emu::WaitCopies(N);
}

inline uint4 load_stream16(const void* global, Place where = Place::Here()) {
  uint4 value;
  simt::emu::LoadReadOnly(&value, global, 16, where);
  return value;
}
inline uint2 load_stream8(const void* global, Place where = Place::Here()) {
  uint2 value;
  simt::emu::LoadReadOnly(&value, global, 8, where);
  return value;
}
inline uint32_t load_stream4(const void* global, Place where = Place::Here()) {
  uint32_t value;
  simt::emu::LoadReadOnly(&value, global, 4, where);
  return value;
}
inline void prefetch_l2(const void*) {}

template <int LUT>
uint32_t lop3(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result = 0;
  for (int i = 0; i < 8; ++i)
    if (LUT >> i & 1)
      result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return result;
}

inline void named_barrier_sync(int id, int threads,
                               Place where = Place::Here()) {
  simt::emu::BarrierCall call;
  call.id = id;
  call.count = threads;
  simt::emu::BlockBarrier(call, where);
}
inline void named_barrier_arrive(int id, int threads,
                                 Place where = Place::Here()) {
  simt::emu::BarrierCall call;
  call.id = id;
  call.count = threads;
  call.wait = false;
  simt::emu::BlockBarrier(call, where);
}

inline uint32_t load_acquire(const uint32_t* word,
                             Place where = Place::Here()) {
  return simt::emu::LoadAcquire(word, where);
}
inline void store_release(uint32_t* word, uint32_t value,
                          Place where = Place::Here()) {
  simt::emu::StoreRelease(word, value, where);
}
inline uint32_t add_release(uint32_t* word, uint32_t value,
                            Place where = Place::Here()) {
  return simt::emu::AddRelease(word, value, where);
}

inline float ex2_approx(float x) { return std::exp2(x); }
inline float rcp_approx(float x) { return 1.0f / x; }

inline void grid_dependency_wait() {}
inline void grid_dependency_launch() {}

// --- sm_90 -------------------------------------------------------------------

inline void mbarrier_init(uint64_t* barrier, uint32_t count,
                          Place where = Place::Here()) {
  simt::emu::MbarrierInit(barrier, count, where);
}
inline void fence_mbarrier_init() {}
inline void mbarrier_arrive(uint64_t* barrier, Place where = Place::Here()) {
  simt::emu::MbarrierArrive(barrier, 1, 0, where);
}
inline void mbarrier_expect_tx(uint64_t* barrier, uint32_t bytes,
                               Place where = Place::Here()) {
  simt::emu::MbarrierArrive(barrier, 0, bytes, where);
}
inline void mbarrier_arrive_expect_tx(uint64_t* barrier, uint32_t bytes,
                                      Place where = Place::Here()) {
  simt::emu::MbarrierArrive(barrier, 1, bytes, where);
}
inline bool mbarrier_try_wait_parity(uint64_t* barrier, uint32_t parity,
                                     Place where = Place::Here()) {
  return simt::emu::MbarrierTryWait(barrier, parity, where);
}
inline void fence_proxy_async() { simt::emu::FenceProxyAsync(); }

inline void bulk_copy_to_shared(void* shared, const void* global,
                                uint32_t bytes, uint64_t* barrier,
                                Place where = Place::Here()) {
  simt::emu::BulkCopy(shared, global, bytes, barrier, where);
}

using TensorMap = simt::emu::TensorMap2d;

inline void bulk_tensor_2d(void* shared, const TensorMap& map, int column,
                           int row, uint64_t* barrier,
                           Place where = Place::Here()) {
  simt::emu::BulkTensor2d(shared, map, column, row, barrier, where);
}
inline bool make_tensor_map_2d(TensorMap* map, const void* base,
                               int element_bytes, uint64_t columns,
                               uint64_t rows, uint64_t row_bytes,
                               uint32_t box_columns, uint32_t box_rows,
                               bool swizzle128) {
  return simt::emu::MakeTensorMap(
      {base, element_bytes, columns, rows, row_bytes, box_columns, box_rows,
       swizzle128},
      map);
}

inline uint64_t wgmma_descriptor(const void* tile, uint32_t stride_bytes = 1024,
                                 Place where = Place::Here()) {
  return simt::emu::WgmmaDescriptor(tile, stride_bytes, where);
}
inline void wgmma_fence() {}
inline void wgmma_commit() { simt::emu::WgmmaCommit(); }
template <int N>
void wgmma_wait() {
  simt::emu::WgmmaWait(N);
}

template <int R>
void wgmma_m64k16_f16(float (&d)[R], uint64_t a, uint64_t b,
                      bool accumulate = true, Place where = Place::Here()) {
  simt::emu::Wgmma({d, 2 * R, false, accumulate, nullptr, a, b}, where);
}
template <int R>
void wgmma_m64k16_bf16(float (&d)[R], uint64_t a, uint64_t b,
                       bool accumulate = true, Place where = Place::Here()) {
  simt::emu::Wgmma({d, 2 * R, true, accumulate, nullptr, a, b}, where);
}
template <int R>
void wgmma_m64k16_f16(float (&d)[R], const uint32_t (&a)[4], uint64_t b,
                      bool accumulate = true, Place where = Place::Here()) {
  simt::emu::Wgmma({d, 2 * R, false, accumulate, a, 0, b}, where);
}
template <int R>
void wgmma_m64k16_bf16(float (&d)[R], const uint32_t (&a)[4], uint64_t b,
                       bool accumulate = true, Place where = Place::Here()) {
  simt::emu::Wgmma({d, 2 * R, true, accumulate, a, 0, b}, where);
}

}  // namespace ptx
