#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "kernels/cuda/dequant_plan.h"
#include "kernels/cuda/int4_half_plan.h"
#include "kernels/cuda/int4_medium_plan.h"
#include "kernels/cuda/int4_record.h"

// How many bytes of a GPU's memory its products take: pure functions for
// whoever plans it, as kernels/record_size.h is for the CPU. The library behind
// table.h asks for the same.
namespace quatrain::cuda {

// A packed int4 part of `rows` outputs over blocks of k that end at block_ends,
// and the table of its blocks.
inline int64_t Int4DeviceBytes(int rows, std::span<const int> block_ends,
                               DType scale_dtype) {
  int64_t tile = 0;
  int begin = 0;
  for (const int end : block_ends) {
    tile += Int4RecordSize(end - begin, scale_dtype == DType::kF32);
    begin = end;
  }
  return (rows + kTileRows - 1) / kTileRows * tile +
         static_cast<int64_t>((block_ends.size() + 1) * sizeof(KBlock));
}

// The same of a dense part.
inline int64_t DenseDeviceBytes(int rows, std::span<const int> block_ends,
                                DType dtype) {
  const int element_bytes = dtype == DType::kF32 ? 4 : 2;
  int64_t tile = 0;
  int begin = 0;
  for (const int end : block_ends) {
    tile += DenseBlockSize(end - begin, element_bytes);
    begin = end;
  }
  return (rows + kDenseTileRows - 1) / kDenseTileRows * tile +
         static_cast<int64_t>((block_ends.size() + 1) * sizeof(KBlock));
}

struct Int4Size {
  int rows = 0;       // outputs
  int num_pairs = 0;  // of K: QuatrainLayout
  int num_blocks = 0;
};

// The scratch that the products of a rank's int4 linears share, one after the
// other, in steps of at most max_tokens; rounds: the default mode's may be
// among them.
inline int64_t ProductScratchBytes(int max_tokens,
                                   std::span<const Int4Size> linears,
                                   int num_sms, int num_digits, bool rounds) {
  int64_t most = 0;
  // Not of max_tokens alone: fewer tokens may dequantize a larger chunk.
  for (int tokens = 1; rounds && tokens <= max_tokens; ++tokens)
    for (const Int4Size& linear : linears)
      most = std::max(
          {most, DequantScratch(tokens, linear.rows, linear.num_pairs).total,
           HalfScratch(tokens, linear.num_pairs, linear.num_blocks).total});
  return most + MediumScratch(num_sms, num_digits).total;
}

}  // namespace quatrain::cuda
