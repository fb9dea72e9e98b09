#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/matrix_view.h"
#include "kernels/device_memory.h"
#include "kernels/linear.h"
#include "kernels/operands.h"
#include "kernels/step.h"
#include "kernels/tensor_group.h"

namespace quatrain {

// Every computation the model needs, on one device. Operations are cut where
// the fast kernels are cut. Which norms and sums are fused into a neighbour is
// the backend's business and never changes a bit.
//
// Holds for all operations:
//  - arguments live on this device, and outputs do not overlap inputs;
//  - work runs in call order and may be unfinished when the call returns;
//  - shapes were checked when the model was loaded, so a mismatch is a bug and
//    aborts; a device fault is returned by the next Finish();
//  - a rank that owns no part of a linear passes one with rows() or cols() of
//    0: column-parallel outputs are then empty, partial sums are zero.
//
// T is the number of tokens of the step. Activations are f32 [T, width], except
// partial sums: i64 [T, hidden_size + 1] in units of 2^-28, whose last column
// is not 0 where the row met a value that is not finite.
class Backend {
 public:
  virtual ~Backend() = default;

  // For logs and Hello: name, instruction set, threads, weight record.
  virtual std::string Description() const = 0;

  // All memory of this rank comes from here, so that the budget holds.
  virtual DeviceMemory& memory() = 0;

  // Takes one linear's logical weights into the backend's own layout, in
  // parallel. Fails with the reader's status, or ResourceExhausted.
  virtual absl::StatusOr<std::unique_ptr<Linear>> PackLinear(
      const LogicalLinear& logical, LinearRole role) = 0;

  // Applies the step's delta to the slot table. The view is valid until the
  // next BeginStep.
  virtual const StepView& BeginStep(const Step& step) = 0;

  // Calls `body`, or replays what it recorded of it for the same shape.
  virtual void Run(const StepView& step, const std::function<void()>& body) = 0;

  // residual[t] = row token_ids[t] of the table, summed over the group: a rank
  // adds nothing for ids outside its part. table: role kEmbed or a tied kHead.
  virtual void Embed(const StepView& step, const Linear& table,
                     const VocabSpec& vocab, TensorGroup& group,
                     MatrixView residual) = 0;

  // out = f(norm(x) * linear); `norm` may be null. x: f32 [T, K]. By role:
  // kQkv stores f32 [T, N]; kGateUp stores act(gate) * up, f32 [T, N / 2];
  // kO and kDown store this rank's partial sums, i64 [T, N + 1].
  virtual void Project(MatrixView x, const Norm* norm, const Linear& linear,
                       MatrixView out) = 0;

  // Rotates q and k, writes k and v to this step's cache slots, then attends
  // causally over every sequence's own blocks, reading stored values only. qkv
  // as Project left it: [T, (num_q_heads + 2 * num_kv_heads) * head_dim].
  // out: f32 [T, num_q_heads * head_dim].
  virtual void Attend(MatrixView qkv, const AttentionSpec& spec,
                      const StepView& step, const KvLayer& kv,
                      MatrixView out) = 0;

  // residual += tail(f32(sum of `partial` over the group)). `partial` has no
  // gaps between its rows and is overwritten. A row that is marked becomes NaN
  // (0x7fc00000) and stays so.
  virtual void ReduceAdd(MatrixView partial, const Tail& tail,
                         TensorGroup& group, MatrixView residual) = 0;

  // logits[i] = this rank's part of the logits of rows[i], raw.
  // x: the residual, f32 [T, K]; logits: f32 [rows, linear.rows()].
  virtual void Head(MatrixView x, const Norm& norm, const Linear& linear,
                    std::span<const LogitsRow> rows, MatrixView logits) = 0;

  // Draws or scores every row, by the rule of docs/numerics.md. All ranks of
  // the group call it; `out` (one entry a row) is complete on rank 0 only.
  virtual void Sample(MatrixView logits, std::span<const LogitsRow> rows,
                      const VocabSpec& vocab, TensorGroup& group,
                      std::span<SampledRow> out) = 0;

  // Waits for that step only, later ones may be enqueued; returns the device's
  // first fault.
  virtual absl::Status Finish(uint64_t step_id) = 0;
};

}  // namespace quatrain
