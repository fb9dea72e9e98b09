#include "kernels/reference.h"

#include <bit>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "kernels/exact_sum.h"
#include "kernels/math.h"
#include "kernels/reference_ops.h"
#include "kernels/sampler.h"
#include "kernels/slot_table.h"

namespace quatrain {
namespace {

std::span<const float> Row(MatrixView x, int t) {
  return {x.row<float>(t), static_cast<size_t>(x.cols)};
}

class ReferenceBackend : public Backend {
 public:
  explicit ReferenceBackend(const BackendOptions& options)
      : activations_(options.activations),
        memory_(options.memory_limit_bytes),
        slots_(options.num_slots, options.max_blocks, options.block_size) {}

  std::string Description() const override {
    return absl::StrCat("reference, 1 thread, weights u8",
                        DescriptionOf(activations_));
  }
  DeviceMemory& memory() override { return memory_; }

  absl::StatusOr<std::unique_ptr<Linear>> PackLinear(
      const LogicalLinear& logical, LinearRole role) override {
    return PackReferenceLinear(logical, role, memory_);
  }

  const StepView& BeginStep(const Step& step) override {
    view_ = slots_.Apply(step);
    return view_;
  }

  void Run(const StepView&, const std::function<void()>& body) override {
    body();
  }

  void Embed(const StepView& step, const Linear& table, const VocabSpec& vocab,
             TensorGroup& group, MatrixView residual) override;
  void Project(MatrixView x, const Norm* norm, const Linear& linear,
               MatrixView out) override;

  void Attend(MatrixView qkv, const AttentionSpec& spec, const StepView& step,
              const KvLayer& kv, MatrixView out) override {
    ReferenceAttend(qkv, spec, step, kv, out);
  }

  void ReduceAdd(MatrixView partial, const Tail& tail, TensorGroup& group,
                 MatrixView residual) override;
  void Head(MatrixView x, const Norm& norm, const Linear& linear,
            std::span<const LogitsRow> rows, MatrixView logits) override;

  void Sample(MatrixView logits, std::span<const LogitsRow> rows,
              const VocabSpec& vocab, TensorGroup& group,
              std::span<SampledRow> out) override {
    SampleRows(logits, rows, vocab, ReferenceRowKernels(), group, out);
  }

  absl::Status Finish(uint64_t) override { return absl::OkStatus(); }

 private:
  void ProjectRow(std::span<const float> x, const ReferenceLinear& linear,
                  MatrixView out, int t);

  const Activations activations_;
  DeviceMemory memory_;
  SlotTable slots_;
  StepView view_;
};

void ReferenceBackend::Embed(const StepView& step, const Linear& table,
                             const VocabSpec& vocab, TensorGroup& group,
                             MatrixView residual) {
  const auto& linear = static_cast<const ReferenceLinear&>(table);
  const int rank = group.rank();
  const int begin = rank > 0 ? vocab.rank_ends[rank - 1] : 0;
  const int width = residual.cols;
  std::vector<int32_t> bits(static_cast<size_t>(step.num_tokens) * width);
  for (int t = 0; t < step.num_tokens; ++t) {
    int row = step.token_ids[t] - begin;
    if (step.token_ids[t] < begin || row >= linear.rows()) continue;
    size_t part = 0;
    while (row >= linear.parts[part].rows) row -= linear.parts[part++].rows;
    CHECK(!linear.parts[part].is_int4) << "an embedding of int4";
    for (int d = 0; d < width; ++d)
      bits[static_cast<size_t>(t) * width + d] = std::bit_cast<int32_t>(
          LoadAs(linear.parts[part].dense_dtype, linear.parts[part].dense,
                 static_cast<size_t>(row) * width + d));
  }
  group.AllReduceSum(bits);
  for (int t = 0; t < step.num_tokens; ++t)
    for (int d = 0; d < width; ++d)
      residual.row<float>(t)[d] =
          std::bit_cast<float>(bits[static_cast<size_t>(t) * width + d]);
}

void ReferenceBackend::Project(MatrixView x, const Norm* norm,
                               const Linear& linear, MatrixView out) {
  std::vector<float> normed(x.cols);
  for (int t = 0; t < x.rows; ++t) {
    std::span<const float> row = Row(x, t);
    if (norm != nullptr) {
      ReferenceRmsNorm(row, *norm, normed);
      row = normed;
    }
    ProjectRow(row, static_cast<const ReferenceLinear&>(linear), out, t);
  }
}

void ReferenceBackend::ProjectRow(std::span<const float> x,
                                  const ReferenceLinear& linear, MatrixView out,
                                  int t) {
  if (linear.role == LinearRole::kO || linear.role == LinearRole::kDown) {
    const std::span<int64_t> sums(out.row<int64_t>(t), out.cols);
    if (linear.rows() == 0)
      std::fill(sums.begin(), sums.end(), 0);
    else
      ReferenceSums(x, linear.parts, activations_, sums);
    return;
  }
  std::vector<float> outputs(linear.rows());
  if (!outputs.empty())
    ReferenceOutputs(x, linear.parts, linear.bias, activations_, outputs);
  float* row = out.row<float>(t);
  if (linear.role != LinearRole::kGateUp) {
    std::copy(outputs.begin(), outputs.end(), row);
    return;
  }
  const size_t half = outputs.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    row[i] = Silu(outputs[i]) * outputs[half + i];
    if (row[i] != row[i]) row[i] = MarkedValue();
  }
}

void ReferenceBackend::ReduceAdd(MatrixView partial, const Tail& tail,
                                 TensorGroup& group, MatrixView residual) {
  CHECK_EQ(partial.row_stride, partial.cols) << "partial sums are contiguous";
  group.AllReduceSum(
      std::span<int64_t>(partial.row<int64_t>(0),
                         static_cast<size_t>(partial.rows) * partial.cols));
  for (int t = 0; t < partial.rows; ++t) {
    const int64_t* sums = partial.row<int64_t>(t);
    float* row = residual.row<float>(t);
    const int width = partial.cols - 1;
    for (int d = 0; d < width; ++d) {
      float y = FromFixed(sums[d]);
      if (!tail.bias.empty()) y = y + tail.bias[d];
      row[d] = row[d] + y;
      if (sums[width] != 0 || row[d] != row[d]) row[d] = MarkedValue();
    }
  }
}

void ReferenceBackend::Head(MatrixView x, const Norm& norm,
                            const Linear& linear,
                            std::span<const LogitsRow> rows,
                            MatrixView logits) {
  std::vector<float> normed(x.cols);
  for (size_t i = 0; i < rows.size(); ++i) {
    ReferenceRmsNorm(Row(x, rows[i].token_index), norm, normed);
    if (linear.rows() == 0) continue;
    const auto& head = static_cast<const ReferenceLinear&>(linear);
    ReferenceOutputs(normed, head.parts, head.bias, activations_,
                     {logits.row<float>(static_cast<int>(i)),
                      static_cast<size_t>(linear.rows())});
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeReferenceBackend(
    const BackendOptions& options) {
  return std::make_unique<ReferenceBackend>(options);
}

}  // namespace quatrain
