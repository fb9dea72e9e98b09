// Counters of attention: rope_table, attend_work, store_kv, and both forms of
// attend in decode and in a chunk of a prompt.

#include "kernels/cuda/attention_plan.h"
#include "tests/kernels/cuda/attend_shape.h"
#include "tests/kernels/cuda/counters_table.h"
#include "tests/kernels/cuda/linear_case.h"
#include "tests/kernels/cuda/paged_step.h"
#include "tests/kernels/cuda/rank_heads.h"

namespace quatrain {
namespace {

struct AttentionShape {
  int q_heads, kv_heads, dim;
  QuatrainDType dtype;
  EqualSequences of;
  int num_sms = 1;  // few: nothing is split
  bool mma = false;

  bool decode() const { return of.new_tokens == 1; }
  int element_bytes() const { return cuda::CacheElementBytes(dtype); }
  // Of one key or value.
  double HeadBytes() const {
    return dim * element_bytes() + (dtype == kQuatrainInt8 ? 4.0 : 0.0);
  }
  int QkvWidth() const { return (q_heads + 2 * kv_heads) * dim; }
  QuatrainAttendShape Limits() const {
    return {.num_q_heads = q_heads,
            .num_kv_heads = kv_heads,
            .head_dim = dim,
            .kv_dtype = dtype,
            .num_uses = kv_heads,
            .max_count = q_heads / kv_heads,
            .window = 0,
            .max_tokens = of.tokens(),
            .max_sequences = of.sequences,
            .compute_capability = 90,
            .num_sms = num_sms,
            .uses_mma = mma};
  }
  std::string Text() const {
    const char* const types[] = {"f16", "bf16", "f32", "int8", "fp8"};
    return std::to_string(q_heads) + "/" + std::to_string(kv_heads) + " d" +
           std::to_string(dim) + " " + types[dtype] + " " +
           std::to_string(of.sequences) + "x" + std::to_string(of.new_tokens) +
           " of " + std::to_string(of.cached) + (num_sms == 1 ? "" : ", split");
  }
};

class AttentionRun {
 public:
  explicit AttentionRun(const AttentionShape& shape)
      : shape_(shape),
        step_(shape.of),
        qkv_(SomeFloats(size_t(shape.of.tokens()) * shape.QkvWidth())),
        inv_freq_(SomeFloats(shape.dim / 2)),
        rope_(size_t(shape.of.tokens()) * shape.dim),
        out_(size_t(shape.of.tokens()) * shape.q_heads * shape.dim),
        heads_(Groups(shape.kv_heads, shape.q_heads / shape.kv_heads)),
        work_(AttendWorkBytes(shape.Limits())),
        data_(DeviceArray<unsigned char>(Rows() * shape.dim *
                                         shape.element_bytes())
                  .Cleared()),
        scales_(DeviceArray<float>(Rows()).Cleared()) {}

  void MakeRope() {
    const QuatrainRopeTable op{
        inv_freq_.data(),       shape_.dim / 2,     1.0f,
        step_.view().positions, shape_.of.tokens(), rope_.data()};
    CudaOk(Cuda().rope_table(&op, nullptr), "rope_table");
  }
  void Divide() {
    const QuatrainAttendWork op{shape_.Limits(), step_.view(), work_.data()};
    CudaOk(Cuda().attend_work(&op, nullptr), "attend_work");
  }
  void Store() {
    const QuatrainStoreKv op{qkv_.data(),
                             shape_.QkvWidth(),
                             nullptr,
                             shape_.q_heads,
                             rope_.data(),
                             shape_.dim / 2,
                             step_.view().slot_mapping,
                             shape_.of.tokens(),
                             Cache()};
    CudaOk(Cuda().store_kv(&op, nullptr), "store_kv");
  }
  void Attend() {
    QuatrainAttend op = {};
    op.shape = shape_.Limits();
    op.step = step_.view();
    op.work = work_.data();
    op.lists = shape_.decode() ? kQuatrainSingles : kQuatrainChunks;
    op.stores = shape_.decode() ? 1 : 0;
    op.qkv = qkv_.data();
    op.qkv_stride = shape_.QkvWidth();
    op.rope = rope_.data();
    op.num_freqs = shape_.dim / 2;
    op.heads = heads_.data();
    op.scale = 0.088f;
    op.kv = Cache();
    op.out = out_.data();
    op.out_stride = int64_t{shape_.q_heads} * shape_.dim;
    CudaOk(shape_.mma ? Cuda().attend_mma(&op, nullptr)
                      : Cuda().attend(&op, nullptr),
           "attend");
  }

  const float* qkv() const { return qkv_.data(); }
  double QkvBytes() const { return static_cast<double>(qkv_.bytes()); }
  double RopeBytes() const { return static_cast<double>(rope_.bytes()); }
  double OutBytes() const { return static_cast<double>(out_.bytes()); }
  // K and V of `tokens`.
  double CacheBytes(int tokens) const {
    return 2.0 * tokens * shape_.kv_heads * shape_.HeadBytes();
  }
  Operand CacheOperand() const {
    const int stored = shape_.decode() ? shape_.of.sequences : 0;
    const int read = shape_.of.sequences * shape_.of.cached - stored;
    return {data_.data(),
            2.0 * read * shape_.kv_heads * shape_.dim * shape_.element_bytes()};
  }

 private:
  static constexpr int kBlockSize = PagedStep::kBlockSize;

  size_t Rows() const {
    return size_t(step_.num_blocks()) * 2 * shape_.kv_heads * kBlockSize;
  }
  QuatrainKvCache Cache() const {
    return {
        data_.data(), shape_.dtype == kQuatrainInt8 ? scales_.data() : nullptr,
        shape_.dtype, step_.num_blocks(),
        kBlockSize,   shape_.kv_heads,
        shape_.dim};
  }

  AttentionShape shape_;
  PagedStep step_;
  DeviceArray<float> qkv_, inv_freq_, rope_, out_;
  DeviceArray<QuatrainHeadUse> heads_;
  DeviceArray<unsigned char> work_, data_;
  DeviceArray<float> scales_;
};

// How often a chunk's keys are read at most: once by every piece of its tokens.
double MostReads(const AttentionShape& shape) {
  if (shape.decode()) return 1.0;
  const cuda::AttendRows rows =
      cuda::PlanAttendRows(shape.Limits(), cuda::kChunks);
  return (shape.of.new_tokens + rows.tokens - 1) / rows.tokens;
}

// Decode reads K and V of a KV head once for all its query heads, and writes
// what is new; a chunk has been stored before. `conflicts` are outside of the
// main loop: of attend() one a piece at head_dim 80, and where splits merge; of
// attend_mma() 6 per row where its query is written, before the loop, and what
// its warps leave.
CounterLine CountAttend(const AttentionShape& shape, uint64_t conflicts,
                        double of_floor = 1.03) {
  AttentionRun run(shape);
  run.MakeRope();
  run.Divide();
  run.Store();
  const double qkv =
      run.QkvBytes() *
      (shape.decode() ? 1.0
                      : shape.q_heads * 1.0 * shape.dim / shape.QkvWidth());
  const int cached = shape.of.sequences * shape.of.cached;
  return Counted(
      std::string(shape.mma ? "attend_mma" : "attend") +
          (shape.decode() ? "" : "_chunk"),
      shape.Text(),
      run.CacheBytes(cached) + qkv + run.RopeBytes() + run.OutBytes(),
      run.CacheOperand(), {of_floor, MostReads(shape), conflicts},
      [&] { run.Attend(); });
}

// Both elements of a pair of K read both, and a lane its word's elements one
// after the other; int8 reads all for the scale before.
CounterLine CountStore(const AttentionShape& shape) {
  AttentionRun run(shape);
  run.MakeRope();
  const double kv =
      run.QkvBytes() * 2 * shape.kv_heads * shape.dim / shape.QkvWidth();
  const double reads = shape.dtype == kQuatrainInt8  ? 5.5
                       : shape.dtype == kQuatrainFp8 ? 4.0
                                                     : 3.0;
  return Counted("store_kv", shape.Text(),
                 kv + run.RopeBytes() + run.CacheBytes(shape.of.tokens()),
                 {run.qkv(), kv}, {.reads = reads}, [&] { run.Store(); });
}

CounterLine CountRope(const AttentionShape& shape) {
  AttentionRun run(shape);
  return Counted("rope_table", shape.Text(),
                 run.RopeBytes() + 2.0 * shape.dim + 4.0 * shape.of.tokens(),
                 {}, {}, [&] { run.MakeRope(); });
}

// The conflict is one thread's, which clears more than 128 bytes.
CounterLine CountWork(const AttentionShape& shape) {
  AttentionRun run(shape);
  const double entries = shape.of.sequences * sizeof(cuda::WorkEntry);
  return Counted("attend_work", shape.Text(),
                 entries + 8.0 * shape.of.sequences, {}, {.conflicts = 1},
                 [&] { run.Divide(); });
}

}  // namespace

std::vector<CounterLine> CountAttention() {
  std::vector<CounterLine> lines;
  const EqualSequences prompt{1, 64, 64};
  lines.push_back(CountRope({16, 2, 128, kQuatrainF16, prompt}));
  lines.push_back(CountWork({16, 2, 128, kQuatrainF16, {64, 64, 1}}));
  for (const QuatrainDType dtype :
       {kQuatrainF16, kQuatrainInt8, kQuatrainFp8}) {
    lines.push_back(CountStore({16, 2, 128, dtype, prompt}));
    const EqualSequences step{4, 801, 1};
    lines.push_back(CountAttend({2, 2, 128, dtype, step}, 0));
    lines.push_back(CountAttend({16, 2, 128, dtype, step}, 0));
  }
  const QuatrainDType f16 = kQuatrainF16;
  lines.push_back(CountAttend({4, 4, 80, f16, {2, 600, 1}}, 8));
  lines.push_back(CountAttend({16, 2, 128, f16, {1, 1100, 1}, 4}, 18, 1.05));
  lines.push_back(CountAttend({2, 2, 128, f16, {1, 320, 48}}, 0));
  lines.push_back(CountAttend({8, 1, 128, f16, {1, 320, 48}}, 0));
  lines.push_back(CountAttend({2, 2, 128, f16, {4, 801, 1}, 1, true}, 768));
  lines.push_back(CountAttend({16, 2, 128, f16, {4, 801, 1}, 1, true}, 3080));
  lines.push_back(CountAttend({2, 2, 128, f16, {1, 320, 64}, 1, true}, 768));
  lines.push_back(CountAttend({8, 1, 128, f16, {1, 320, 64}, 1, true}, 3072));
  return lines;
}

}  // namespace quatrain
