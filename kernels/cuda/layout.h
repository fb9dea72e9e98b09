#pragma once

#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/table.h"

// How a list of blocks lies in a packed part and in the digits.
namespace quatrain::cuda {

// Writes blocks.count + 1 entries to `table` (or nothing where it is nullptr)
// and what follows from them to `layout`. Returns nullptr, or what is wrong
// with the list.
const char* LayOut(const QuatrainBlocks& blocks, bool is_int4, int dtype,
                   KBlock* table, QuatrainLayout* layout);

}  // namespace quatrain::cuda
