#pragma once

#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// Where the blocks of a linear lie, as a kernel asks for it.
namespace quatrain::cuda {

class BlockTable {
 public:
  // `table` has num_blocks + 1 entries; uniform_size: of a record where every
  // block has 128 k, so that nothing is looked up, else 0.
  __host__ __device__ BlockTable(const void* table, int num_blocks,
                                 int uniform_size)
      : table_(static_cast<const KBlock*>(table)),
        num_blocks_(num_blocks),
        uniform_size_(uniform_size) {}

  __host__ __device__ int size() const { return num_blocks_; }
  __host__ __device__ bool is_uniform() const { return uniform_size_ > 0; }

  __device__ KBlock operator[](int b) const {
    if (uniform_size_ > 0)
      return {b * kMaxBlock, kMaxBlock, b * kMaxPairs, b * uniform_size_};
    const int4 entry = __ldg(reinterpret_cast<const int4*>(table_) + b);
    return {entry.x, entry.y, entry.z, entry.w};
  }

 private:
  const KBlock* table_;
  int num_blocks_;
  int uniform_size_;
};

// Blocks are at most 128 long, so this many k in as many blocks are all whole.
inline bool IsUniform(int cols, int num_blocks) {
  return cols == num_blocks * kMaxBlock;
}

inline BlockTable Int4Blocks(const QuatrainInt4& linear) {
  const bool uniform = IsUniform(linear.cols, linear.num_blocks);
  const bool wide = linear.scale_dtype == kQuatrainF32;
  return BlockTable(linear.blocks, linear.num_blocks,
                    uniform ? Int4RecordSize(kMaxBlock, wide) : 0);
}

inline BlockTable DenseBlocks(const QuatrainDense& linear) {
  return BlockTable(linear.blocks, linear.num_blocks, 0);
}

}  // namespace quatrain::cuda
