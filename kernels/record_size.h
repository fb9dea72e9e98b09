#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace quatrain {

// How many bytes the CPU backend allocates: for what it packs, and for what its
// operations hold while they run. Pure functions, used by the allocator and by
// the budget, so that the plan is exact. The reference backend has the same KV
// size and a scratch of its own; its weights take twice the memory.

// The widest of a rank's linears, in elements.
struct LinearWidths {
  int input = 0;
  int gate_up = 0;  // output of a gate_up linear
};

// One int4 part: `rows` outputs over blocks ending at block_ends.
int64_t Int4RecordBytes(int rows, std::span<const int> block_ends,
                        DType scale_dtype);

// One dense part of `cols` inputs, and an embedding table.
int64_t DenseRecordBytes(int rows, int cols, DType dtype);

// K and V of one layer.
int64_t KvLayerBytes(int num_blocks, int block_size, int num_kv_heads,
                     int head_dim, DType dtype);

// The scratch memory that a backend holds, for steps of at most max_tokens
// tokens; threads: of the backend's pool.
int64_t ScratchBytes(int max_tokens, const LinearWidths& widths, int threads);

// The same for the reference backend: what its largest operation holds.
struct ReferenceShape {
  int max_tokens = 0;
  int hidden_size = 0;
  int max_width = 0;  // of a linear's input or output
  int max_context = 0;
  int head_dim = 0;
};
int64_t ReferenceScratchBytes(const ReferenceShape& shape);

// Outputs and blocks that are read together while a linear is packed: they fit
// the second-level cache, and four blocks share a header of the record.
inline constexpr int kPackRows = 512;
inline constexpr int kPackBlocks = 4;

// What packing one part holds for a moment, on all threads together: weights in
// logical form. An embedding is copied as it is and needs none.
int64_t Int4PackBytes(int threads);
int64_t DensePackBytes(int cols, DType dtype, int threads);

// What sampling `rows` rows at a time holds on one rank: what the ranks tell
// each other, the search for the best, and one row gathered whole.
struct SampleShape {
  int rows = 0;
  int ids = 0;  // of the vocabulary, on this rank
  int vocab_size = 0;
  int group_size = 1;
  int threads = 1;
};
int64_t SampleBytes(const SampleShape& shape);

}  // namespace quatrain
