#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/cpu_linear.h"
#include "kernels/cpu/cpu_row_kernels.h"
#include "kernels/cpu/project.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/exact_sum.h"
#include "kernels/sampler.h"
#include "kernels/slot_table.h"

namespace quatrain {
namespace {

class CpuBackend : public Backend {
 public:
  CpuBackend(const BackendOptions& options, Isa isa)
      : options_(options),
        isa_(isa),
        memory_(options.memory_limit_bytes),
        pool_(options.threads, options.spin),
        projector_(isa, options.activations == Activations::kInt8, &pool_),
        row_kernels_(isa, &pool_),
        slots_(options.num_slots, options.max_blocks, options.block_size),
        shape_(ShapeFor({})) {}

  std::string Description() const override {
    const std::string& failure = Amx().failure;
    return absl::StrCat(
        "cpu, ", Name(isa_), ", ", options_.threads,
        options_.threads == 1 ? " thread" : " threads", ", weights T16 int4",
        DescriptionOf(options_.activations),
        failure.empty() ? "" : absl::StrCat(", AMX not used: ", failure));
  }
  DeviceMemory& memory() override { return memory_; }

  absl::StatusOr<std::unique_ptr<Linear>> PackLinear(
      const LogicalLinear& logical, LinearRole role) override;

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
              const KvLayer& kv, MatrixView out) override;
  void ReduceAdd(MatrixView partial, const Tail& tail, TensorGroup& group,
                 MatrixView residual) override;
  void Head(MatrixView x, const Norm& norm, const Linear& linear,
            std::span<const LogitsRow> rows, MatrixView logits) override;

  void Sample(MatrixView logits, std::span<const LogitsRow> rows,
              const VocabSpec& vocab, TensorGroup& group,
              std::span<SampledRow> out) override {
    SampleRows(logits, rows, vocab, row_kernels_, group, out);
  }

  absl::Status Finish(uint64_t) override { return absl::OkStatus(); }

  // Makes the scratch memory large enough for linears of these widths.
  absl::Status Widen(const LinearWidths& widths);

 private:
  ScratchShape ShapeFor(const LinearWidths& widths) const {
    return ScratchShape(options_.max_tokens, widths, options_.threads);
  }

  const BackendOptions options_;
  const Isa isa_;
  DeviceMemory memory_;
  ThreadPool pool_;
  const Projector projector_;
  const CpuRowKernels row_kernels_;
  SlotTable slots_;
  StepView view_;
  ScratchShape shape_;
  DeviceBuffer scratch_;
};

absl::Status CpuBackend::Widen(const LinearWidths& widths) {
  const LinearWidths old = shape_.widths;
  if (scratch_.data() != nullptr && widths.input <= old.input &&
      widths.gate_up <= old.gate_up)
    return absl::OkStatus();
  scratch_ = DeviceBuffer();  // never two at a time
  shape_ = ShapeFor({.input = std::max(widths.input, old.input),
                     .gate_up = std::max(widths.gate_up, old.gate_up)});
  ASSIGN_OR_RETURN(scratch_, memory_.Allocate(shape_.total_bytes, "runtime"));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Linear>> CpuBackend::PackLinear(
    const LogicalLinear& logical, LinearRole role) {
  ASSIGN_OR_RETURN(std::unique_ptr<CpuLinear> linear,
                   PackCpuLinear(logical, role, memory_, pool_));
  if (role != LinearRole::kEmbed) {
    const int outputs = role == LinearRole::kGateUp ? linear->num_rows : 0;
    RETURN_IF_ERROR(Widen({.input = linear->num_cols, .gate_up = outputs}));
  }
  CHECK(role != LinearRole::kGateUp || linear->num_rows % 2 == 0)
      << "gate and up have " << linear->num_rows << " rows together";
  return linear;
}

void CpuBackend::Embed(const StepView& step, const Linear& table,
                       const VocabSpec& vocab, TensorGroup& group,
                       MatrixView residual) {
  const auto& linear = static_cast<const CpuLinear&>(table);
  const int rank = group.rank();
  const int begin = rank > 0 ? vocab.rank_ends[rank - 1] : 0;
  const int width = residual.cols;
  pool_.ParallelFor(step.num_tokens, [&](int64_t first, int64_t end, int) {
    for (int t = static_cast<int>(first); t < end; ++t) {
      float* row = residual.row<float>(t);
      const int id = step.token_ids[t];
      if (id >= begin && id - begin < linear.rows() && !linear.parts.empty())
        linear.ReadRow(id - begin, row);
      else
        std::fill_n(row, width, 0.0f);
    }
  });
  // The bits are summed, the others' are 0.
  const bool contiguous = residual.row_stride == width;
  const size_t row_size = static_cast<size_t>(width);
  if (contiguous) {
    group.AllReduceSum(std::span<int32_t>(residual.row<int32_t>(0),
                                          step.num_tokens * row_size));
    return;
  }
  for (int t = 0; t < step.num_tokens; ++t)
    group.AllReduceSum(std::span<int32_t>(residual.row<int32_t>(t), row_size));
}

void CpuBackend::Project(MatrixView x, const Norm* norm, const Linear& linear,
                         MatrixView out) {
  const auto& packed = static_cast<const CpuLinear&>(linear);
  projector_.Run(
      x.rows, [&x](int r) { return x.row<const float>(r); }, norm, packed,
      shape_, scratch_.data(), out);
}

void CpuBackend::Attend(MatrixView qkv, const AttentionSpec& spec,
                        const StepView& step, const KvLayer& kv,
                        MatrixView out) {
  CHECK(Widen({}).ok());
  CpuAttend(qkv, spec, step, kv, isa_, pool_, shape_, scratch_.data(), out);
}

void CpuBackend::ReduceAdd(MatrixView partial, const Tail& tail,
                           TensorGroup& group, MatrixView residual) {
  CHECK_EQ(partial.row_stride, partial.cols) << "partial sums are contiguous";
  group.AllReduceSum(
      std::span<int64_t>(partial.row<int64_t>(0),
                         static_cast<size_t>(partial.rows) * partial.cols));
  const int width = partial.cols - 1;
  const float* bias = tail.bias.empty() ? nullptr : tail.bias.data();
  pool_.ParallelFor(partial.rows, [&](int64_t first, int64_t end, int) {
    for (int t = static_cast<int>(first); t < end; ++t) {
      const int64_t* sums = partial.row<int64_t>(t);
      float* row = residual.row<float>(t);
      for (int d = 0; d < width; ++d) {
        float y = FromFixed(sums[d]);
        if (bias != nullptr) y = y + bias[d];
        row[d] = row[d] + y;
        if (sums[width] != 0 || row[d] != row[d]) row[d] = MarkedValue();
      }
    }
  });
}

void CpuBackend::Head(MatrixView x, const Norm& norm, const Linear& linear,
                      std::span<const LogitsRow> rows, MatrixView logits) {
  const auto& packed = static_cast<const CpuLinear&>(linear);
  if (packed.parts.empty()) return;
  projector_.Run(
      static_cast<int>(rows.size()),
      [&](int r) { return x.row<const float>(rows[r].token_index); }, &norm,
      packed, shape_, scratch_.data(), logits);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(
    const BackendOptions& options) {
  if (options.activations == Activations::kF32) {
    return absl::FailedPreconditionError(
        "--activations f32: only --backend reference has plain float products");
  }
  ASSIGN_OR_RETURN(const Isa isa, ChooseIsa(options.isa));
  CHECK_GE(options.threads, 1);
  return std::make_unique<CpuBackend>(options, isa);
}

}  // namespace quatrain
