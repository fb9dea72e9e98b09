#pragma once

#include <span>

#include "base/matrix_view.h"
#include "kernels/backend.h"
#include "kernels/row_kernels.h"
#include "kernels/step.h"
#include "kernels/tensor_group.h"

namespace quatrain {

inline constexpr int kMaxCandidates = 256;  // of a rank, for a filtered row

// Backend::Sample, common to all backends on the host: what the ranks tell each
// other, the filters, the draw and the log-probabilities. `out` is complete on
// every rank. After a fault of the group it holds anything.
void SampleRows(MatrixView logits, std::span<const LogitsRow> rows,
                const VocabSpec& vocab, const RowKernels& kernels,
                TensorGroup& group, std::span<SampledRow> out);

}  // namespace quatrain
