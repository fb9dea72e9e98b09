#pragma once

#include <cstdint>
#include <vector>

namespace simt {

// Traffic of one device buffer, in sectors of 32 bytes. `sectors` are those of
// each warp instruction, added up; `distinct` counts a sector once.
struct BufferTraffic {
  const void* buffer = nullptr;
  uint64_t sectors_read = 0;
  uint64_t sectors_written = 0;
  uint64_t distinct_read = 0;
  uint64_t distinct_written = 0;
};

// What the launches since the last take_counters() did.
struct LaunchCounters {
  uint64_t launches = 0;
  uint64_t blocks = 0;
  uint64_t mma_int8 = 0;  // warp instructions
  uint64_t mma_f16 = 0;
  uint64_t mma_bf16 = 0;
  uint64_t wgmma = 0;
  uint64_t block_barriers = 0;    // completed, per block
  uint64_t warp_collectives = 0;  // shuffles, votes, reductions, __syncwarp
  uint64_t async_copies = 0;      // cp.async, per thread
  uint64_t bulk_copies = 0;       // cp.async.bulk and tensor copies
  uint64_t ldmatrix_passes = 0;
  uint64_t ldmatrix_minimum = 0;  // one per 8x8 matrix
  // The rest only between count_traffic(true) and false. Ordinary accesses are
  // seen in the check build alone, load_stream, __ldg and cp.async in all.
  uint64_t shared_passes = 0;  // of ordinary shared loads and stores
  uint64_t shared_minimum = 0;
  std::vector<BufferTraffic> traffic;  // of buffers that were touched
};

LaunchCounters take_counters();
// Off at first: it costs time and memory.
void count_traffic(bool on);

}  // namespace simt
