#include "kernels/record_size.h"

#include "kernels/cpu/int4_record.h"
#include "kernels/cpu/scratch.h"

namespace quatrain {

int64_t Int4RecordBytes(int rows, std::span<const int> block_ends) {
  if (rows == 0 || block_ends.empty()) return 0;
  return NumTiles(rows) * BlockList(block_ends).TileBytes();
}

int64_t DenseRecordBytes(int rows, int cols, DType dtype) {
  return int64_t{NumTiles(rows)} * kTileRows * cols * SizeOf(dtype);
}

int64_t KvLayerBytes(int num_blocks, int block_size, int num_kv_heads,
                     int head_dim, DType dtype) {
  return int64_t{2} * num_blocks * block_size * num_kv_heads * head_dim *
         SizeOf(dtype);
}

int64_t ScratchBytes(int max_tokens, int max_width, int threads) {
  return ScratchShape(max_tokens, max_width, threads).total_bytes;
}

}  // namespace quatrain
