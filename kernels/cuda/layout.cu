// Host code only: the table of a linear's blocks.

#include "kernels/cuda/layout.h"

namespace quatrain::cuda {
namespace {

int RecordSize(int length, bool is_int4, int dtype) {
  const bool wide = dtype == kQuatrainF32;
  return is_int4 ? Int4RecordSize(length, wide)
                 : DenseBlockSize(length, wide ? 4 : 2);
}

}  // namespace

const char* LayOut(const QuatrainBlocks& blocks, bool is_int4, int dtype,
                   KBlock* table, QuatrainLayout* layout) {
  if (dtype != kQuatrainF16 && dtype != kQuatrainBF16 && dtype != kQuatrainF32)
    return "block table: the dtype is not f16, bf16 or f32";
  KBlock next{0, 0, 0, 0};
  for (int b = 0; b < blocks.count; ++b) {
    next.length = blocks.ends[b] - next.begin;
    if (next.length < 1 || next.length > kMaxBlock)
      return "block table: a block has no k, or more than 128";
    if (table != nullptr) table[b] = next;
    const int64_t end =
        int64_t{next.offset} + RecordSize(next.length, is_int4, dtype);
    if (end > INT32_MAX) return "block table: a tile of more than 2 GiB";
    next = {blocks.ends[b], 0, next.first_pair + NumPairs(next.length),
            static_cast<int32_t>(end)};
  }
  if (table != nullptr) table[blocks.count] = next;
  layout->table_bytes = (blocks.count + 1) * sizeof(KBlock);
  layout->tile_bytes = next.offset;
  layout->num_pairs = next.first_pair;
  return nullptr;
}

}  // namespace quatrain::cuda
