#pragma once

#include "kernels/cuda/arrives_last.cuh"
#include "kernels/cuda/int4_medium_plan.h"
#include "kernels/cuda/simt.h"

// Blocks of threads that share the blocks of k of the same outputs and tokens:
// each leaves its sums, the last to arrive adds them. Sums are integers, so who
// is last does not show.
namespace quatrain::cuda::medium {

struct Split {
  int split_blocks;   // of k, of each but the last
  unsigned* tickets;  // [places], 0 between launches
  int64_t* parts;     // [places][splits][sums of a thread][kThreads]

  // This block's share of the blocks of k. gridDim.z are the splits.
  __device__ int begin() const { return blockIdx.z * split_blocks; }
  __device__ int end(int num_blocks) const {
    return min(num_blocks, begin() + split_blocks);
  }
};

// The sums of a thread, kSums of them, in whatever order all its likes have.
template <int kSums>
class SplitSums {
 public:
  __device__ explicit SplitSums(const Split& split)
      : place_(blockIdx.x + blockIdx.y * gridDim.x),
        ticket_(split.tickets + place_),
        parts_(split.parts + static_cast<int64_t>(place_) * gridDim.z * kPart +
               threadIdx.x) {}

  __device__ void Put(const int64_t (&sums)[kSums]) const {
#pragma unroll
    for (int i = 0; i < kSums; ++i)
      parts_[blockIdx.z * kPart + i * kThreads] = sums[i];
  }

  // After Put(); whether it falls to this block to go on, with Totals().
  __device__ bool IsLast() const { return ArrivesLast(ticket_, gridDim.z); }

  __device__ void Totals(int64_t (&totals)[kSums]) const {
#pragma unroll
    for (int i = 0; i < kSums; ++i) totals[i] = 0;
    for (unsigned s = 0; s < gridDim.z; ++s)
#pragma unroll
      for (int i = 0; i < kSums; ++i)  // all on their way before one is needed
        totals[i] = static_cast<int64_t>(
            static_cast<uint64_t>(totals[i]) +
            static_cast<uint64_t>(parts_[s * kPart + i * kThreads]));
  }

 private:
  static constexpr int kPart = kSums * kThreads;

  int place_;
  unsigned* ticket_;
  int64_t* parts_;
};

}  // namespace quatrain::cuda::medium
