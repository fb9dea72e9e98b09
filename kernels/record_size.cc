#include "kernels/record_size.h"

#include <algorithm>

#include "kernels/cpu/int4_record.h"
#include "kernels/cpu/scratch.h"
#include "kernels/exact_sum.h"
#include "kernels/sampler.h"

namespace quatrain {
namespace {

int64_t NumVocabTiles(int ids) { return (ids + kVocabTile - 1) / kVocabTile; }

}  // namespace

int64_t Int4RecordBytes(int rows, std::span<const int> block_ends,
                        DType scale_dtype) {
  if (rows == 0 || block_ends.empty()) return 0;
  return NumTiles(rows) * BlockList(block_ends).TileBytes(scale_dtype);
}

int64_t DenseRecordBytes(int rows, int cols, DType dtype) {
  return int64_t{NumTiles(rows)} * kTileRows * cols * SizeOf(dtype);
}

int64_t KvLayerBytes(int num_blocks, int block_size, int num_kv_heads,
                     int head_dim, DType dtype) {
  return int64_t{2} * num_blocks * block_size * num_kv_heads * head_dim *
         SizeOf(dtype);
}

int64_t ScratchBytes(int max_tokens, const LinearWidths& widths, int threads) {
  return ScratchShape(max_tokens, widths, threads).total_bytes;
}

int64_t ReferenceScratchBytes(const ReferenceShape& shape) {
  const int64_t embedded = int64_t{4} * shape.max_tokens * shape.hidden_size;
  // A row: norm, integers, blocks, outputs, 64-bit sums.
  const int64_t row = int64_t{32} * shape.max_width;
  // Of one sequence and head, in vectors that grew.
  const int64_t keys_and_values =
      int64_t{3} * 2 * 4 * shape.max_context * shape.head_dim;
  return embedded + row + keys_and_values;
}

int64_t Int4PackBytes(int threads) {
  static_assert(kPackBlocks == kBlocksPerHeader);
  return int64_t{threads} * kPackRows * kPackBlocks * (kMaxBlock + 5);
}

int64_t DensePackBytes(int cols, DType dtype, int threads) {
  return int64_t{threads} * kTileRows * cols * SizeOf(dtype);
}

int64_t SampleBytes(const SampleShape& shape) {
  const int64_t tiles = NumVocabTiles(shape.vocab_size) + shape.group_size;
  // Per rank: whether all is finite, candidates, the best, the target.
  const int64_t words_per_rank = 2 + 2 * kMaxCandidates + 2 * kMaxTopLogprobs;
  const int64_t message = 4 * (2 * tiles + shape.group_size * words_per_rank);
  // As sent, as received, and taken apart into vectors that grew.
  const int64_t exchange = 4 * shape.rows * message;
  const int64_t searching =
      int64_t{std::min(shape.threads, shape.rows)} *
      (2 * kMaxCandidates * 8 + 4 * NumVocabTiles(shape.ids));
  // Logits, candidates, and the values that a filter sums.
  const int64_t whole_row = int64_t{shape.vocab_size} * (4 + 8 + 4);
  return exchange + searching + whole_row + int64_t{4} * shape.ids;
}

}  // namespace quatrain
