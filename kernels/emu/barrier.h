#pragma once

#include "kernels/emu/thread.h"

inline void __syncthreads(simt::Place where = simt::Place::Here()) {
  simt::emu::BarrierCall call;
  simt::emu::BlockBarrier(call, where);
}
inline int __syncthreads_count(int predicate,
                               simt::Place where = simt::Place::Here()) {
  simt::emu::BarrierCall call;
  call.predicate = predicate;
  simt::emu::BlockBarrier(call, where);
  return call.num_true;
}
inline int __syncthreads_or(int predicate,
                            simt::Place where = simt::Place::Here()) {
  return __syncthreads_count(predicate, where) > 0;
}
inline int __syncthreads_and(int predicate,
                             simt::Place where = simt::Place::Here()) {
  return __syncthreads_count(!predicate, where) == 0;
}

inline void __syncwarp(unsigned mask = ~0u,
                       simt::Place where = simt::Place::Here()) {
  simt::emu::Rendezvous(
      mask, simt::emu::OpKind::kSyncWarp, [](uint32_t, void* const*) {},
      nullptr, where);
}

inline void __threadfence() { simt::emu::Fence(true); }
inline void __threadfence_block() { simt::emu::Fence(false); }
