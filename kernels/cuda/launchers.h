#pragma once

#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// One launcher per operation of the table. Each checks its operands, enqueues
// its kernels and returns nullptr, or what is wrong with the operands.
namespace quatrain::cuda {

const char* LaunchPackInt4(const QuatrainPackInt4& op, simt::Stream stream);
const char* LaunchPackDense(const QuatrainDense& linear, void* tiles,
                            const void* from, int row_begin, int row_end,
                            simt::Stream stream);

const char* LaunchDigits(const QuatrainMakeDigits& op, simt::Stream stream);
// num_sms: of the device, for the number of blocks that stay.
const char* LaunchProduct(const QuatrainProduct& op, int num_sms,
                          simt::Stream stream);
const char* LaunchFewRows(const QuatrainProduct& op, int num_sms,
                          simt::Stream stream);
const char* LaunchMediumRows(const QuatrainProduct& op, int num_sms,
                             simt::Stream stream);
bool FusedProductFits(int num_tokens, int num_pairs, int num_blocks,
                      int num_digits);
const char* LaunchFusedProduct(const QuatrainFusedProduct& op, int num_sms,
                               simt::Stream stream);
// These two answer with a code of their own; the first calls a library between
// its kernels.
int LaunchDequantProduct(const QuatrainDequantProduct& op,
                         QuatrainStream stream);
int LaunchHalfProduct(const QuatrainDequantProduct& op, QuatrainStream stream);
const char* LaunchDenseProduct(const QuatrainDenseProduct& op,
                               simt::Stream stream);
const char* LaunchStoreMarks(const QuatrainStoreMarks& op, simt::Stream stream);

const char* LaunchEmbed(const QuatrainEmbed& op, simt::Stream stream);
const char* LaunchEmbedTied(const QuatrainEmbedTied& op, simt::Stream stream);
const char* LaunchRmsNorm(const QuatrainRmsNorm& op, simt::Stream stream);
const char* LaunchReduceAdd(const QuatrainReduceAdd& op, simt::Stream stream);
const char* LaunchGate(const QuatrainGate& op, simt::Stream stream);

}  // namespace quatrain::cuda
