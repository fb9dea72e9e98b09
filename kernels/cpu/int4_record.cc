#include "kernels/cpu/int4_record.h"

#include "base/check.h"

namespace quatrain {

BlockList::BlockList(std::span<const int> block_ends) {
  int begin = 0;
  for (const int end : block_ends) {
    CHECK_GT(end, begin) << "block ends must ascend";
    CHECK_LE(end - begin, 128) << "blocks are at most 128 long";
    const int groups = (end - begin + kGroupK - 1) / kGroupK;
    blocks.push_back({begin, end, groups, num_digits, num_steps});
    num_digits += groups * kGroupK;
    num_steps += blocks.back().steps();
    begin = end;
  }
}

int64_t BlockList::HeaderOffset(int b, DType scale_dtype) const {
  const int header = b / kBlocksPerHeader;
  const int first_digit = blocks[header * kBlocksPerHeader].first_digit;
  return header * HeaderBytes(scale_dtype) +
         int64_t{kVectorBytes} * first_digit / kGroupK;
}

int64_t BlockList::WordsOffset(int b, DType scale_dtype) const {
  return (b / kBlocksPerHeader + 1) * HeaderBytes(scale_dtype) +
         int64_t{kVectorBytes} * blocks[b].first_digit / kGroupK;
}

int64_t BlockList::TileBytes(DType scale_dtype) const {
  const int64_t headers =
      (num_blocks() + kBlocksPerHeader - 1) / kBlocksPerHeader;
  return headers * HeaderBytes(scale_dtype) +
         int64_t{kVectorBytes} * num_digits / kGroupK;
}

}  // namespace quatrain
