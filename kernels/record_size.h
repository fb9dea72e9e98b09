#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace quatrain {

// How many bytes the CPU backend allocates for what it packs. Pure functions,
// used by the allocator and by the budget, so that the plan is exact. The
// reference backend has the same KV size and no scratch; its weights take
// twice the memory.

// One int4 part: `rows` outputs over blocks ending at block_ends.
int64_t Int4RecordBytes(int rows, std::span<const int> block_ends);

// One dense part of `cols` inputs, and an embedding table.
int64_t DenseRecordBytes(int rows, int cols, DType dtype);

// K and V of one layer.
int64_t KvLayerBytes(int num_blocks, int block_size, int num_kv_heads,
                     int head_dim, DType dtype);

// The scratch memory that a backend holds, for steps of at most max_tokens
// tokens. max_width: the widest input of a linear or output of a gate_up linear
// of this rank, in elements; threads: of the backend's pool.
int64_t ScratchBytes(int max_tokens, int max_width, int threads);

}  // namespace quatrain
