#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

#include "kernels/emu/place.h"

// What a kernel's own code, compiled for the host, needs of the engine.
namespace simt::emu {

struct ThreadView {
  uint3 thread_idx;
  uint3 block_idx;
  dim3 block_dim;
  dim3 grid_dim;
};

// The calling CUDA thread's. It never changes for one fiber, so the compiler
// may keep the reference across switches.
__attribute__((const)) const ThreadView& View();

// What the lanes of a warp do together.
enum class OpKind : uint8_t {
  kShuffle,
  kVote,
  kReduce,
  kMatch,
  kSyncWarp,
  kBarrier,
  kLdmatrix,
  kStmatrix,
  kMma,
  kWgmma,
};

// Computes for all lanes of `mask` at once; lane l gave args[l].
using LaneFn = void (*)(uint32_t mask, void* const* args);

// Every warp operation: waits until all lanes of `mask` have come with the same
// operation and line, then one of them calls `fn`.
void Rendezvous(uint32_t mask, OpKind kind, LaneFn fn, void* mine, Place where);

// Lanes of the calling warp that exist; a partial last warp has fewer than 32.
uint32_t ExistingLanes();

// barrier.sync / .arrive. `count` in threads; 0: all that have not ended.
struct BarrierCall {
  int id = 0;
  int count = 0;
  bool wait = true;
  int predicate = 0;
  int num_true = 0;     // out: predicates that were not 0
  int num_threads = 0;  // out
};
void BlockBarrier(BarrierCall& call, Place where);

// Of a thread that spins: lets everybody else run first.
void Yield(Place where);

void Fence(bool whole_device);

// The block's shared object of the declaration that `tag` stands for.
void* StaticShared(size_t bytes, size_t alignment, const void* tag,
                   Place where);
void* DynamicShared();
void Carve(const void* begin, size_t bytes, Place where);

}  // namespace simt::emu
