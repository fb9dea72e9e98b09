#pragma once

#include <algorithm>
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
#include "kernels/step.h"
#include "kernels/tensor_group.h"

namespace quatrain {

// RMS norm over a row: x / sqrt(mean(x^2) + eps) * weight.
struct Norm {
  std::vector<float> weight;  // [K]
  float eps = 1e-5f;
};

enum class ActivationFunction : uint8_t { kSilu };

// Rotary embedding of the first 2 * inv_freq.size() dims of a head, pairing
// dim i with dim i + inv_freq.size() (the Hugging Face order). The angle is
// position * inv_freq[i], an f32 product; cos and sin are multiplied by
// `scaling` (yarn's attention factor, else 1).
struct Rope {
  std::vector<float> inv_freq;
  float scaling = 1.0f;
};

// One stored KV head and the consecutive query heads that read it. All indices
// count this rank's own heads.
struct KvHeadUse {
  int kv_head = 0;
  int first_q_head = 0;
  int count = 0;
};

struct AttentionSpec {
  int num_q_heads = 0;   // on this rank, may be 0
  int num_kv_heads = 0;  // on this rank
  int head_dim = 0;
  float scale = 1.0f;  // scores are (q . k) * scale
  int window = 0;      // a token sees itself and window - 1 before; 0 = all
  std::vector<KvHeadUse> heads;
  Rope rope;
};

// One layer's K and V of this rank: num_blocks blocks of block_size tokens. The
// order inside is the backend's own; its size is kernels/record_size.h's.
struct KvLayer {
  void* data = nullptr;
  DType dtype = DType::kF16;  // kF16, kBF16 or kF32
  int num_blocks = 0;
  int block_size = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
};

// What follows a sum over the tensor group, before the residual.
struct Tail {
  std::vector<float> bias;  // [hidden_size] or empty
};

// This rank's part of the vocabulary, whole tiles of 256 ids (the last tile of
// the vocabulary may be shorter).
struct VocabSpec {
  int vocab_size = 0;
  std::vector<int> rank_ends;  // [group size], ascending; rank r owns
                               // [rank_ends[r-1], rank_ends[r])
  // Ids from here on are padding rows, which are never drawn. 0, or vocab_size
  // and more: there are none.
  int num_token_ids = 0;

  // One past the last id that may be drawn.
  int draw_end() const {
    return num_token_ids > 0 ? std::min(num_token_ids, vocab_size) : vocab_size;
  }
};

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
