#include "kernels/cpu/attention.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/attention_kernels.h"
#include "kernels/math.h"

namespace quatrain {
namespace {

// Consecutive query rows of one sequence that read one KV head. Row i is token
// i / count, query head i % count of the KvHeadUse.
struct Unit {
  int sequence = 0;
  const KvHeadUse* use = nullptr;
  int first_row = 0;
  int num_rows = 0;
  int num_segments = 0;  // up to the last visible key
};

class Attention {
 public:
  Attention(MatrixView qkv, const AttentionSpec& spec, const StepView& step,
            const KvLayer& kv, const AttentionKernels& kernels,
            ThreadPool& pool, const ScratchShape& shape, std::byte* scratch,
            MatrixView out)
      : qkv_(qkv),
        spec_(spec),
        step_(step),
        kv_(kv),
        kernels_(kernels),
        pool_(pool),
        shape_(shape),
        scratch_(scratch),
        out_(out) {}

  void Run() {
    pool_.ParallelFor(step_.num_tokens,
                      [this](int64_t begin, int64_t end, int) {
                        for (int64_t t = begin; t < end; ++t)
                          RotateAndStore(static_cast<int>(t));
                      });
    MakeUnits();
    if (SharesSegments())
      AttendBySegments();
    else
      ForEach(units_.size(),
              [this](size_t i, int thread) { AttendUnit(units_[i], thread); });
  }

 private:
  // Calls body(i, thread) for i in [0, n), each once.
  template <typename Body>
  void ForEach(size_t n, const Body& body) {
    std::atomic<size_t> next{0};
    const auto work = [&](int thread) {
      for (size_t i = next++; i < n; i = next++) body(i, thread);
    };
    if (n <= 1)
      work(0);
    else
      pool_.Run(work);
  }

  void RotateAndStore(int t) {
    const int half = static_cast<int>(spec_.rope.inv_freq.size());
    float cos[kMaxHeadDim / 2], sin[kMaxHeadDim / 2];
    const float position = static_cast<float>(step_.positions[t]);
    for (int i = 0; i < half; ++i) {
      const SinCosResult angle = SinCos(position * spec_.rope.inv_freq[i]);
      cos[i] = angle.cos * spec_.rope.scaling;
      sin[i] = angle.sin * spec_.rope.scaling;
    }
    float* row = qkv_.row<float>(t);
    const int dim = spec_.head_dim;
    for (int h = 0; h < spec_.num_q_heads + spec_.num_kv_heads; ++h)
      kernels_.rotate(row + h * dim, half, cos, sin);
    const float* k = row + spec_.num_q_heads * dim;
    kernels_.store(kv_, step_.slot_mapping[t], k, k + spec_.num_kv_heads * dim);
  }

  void MakeUnits() {
    for (int s = 0; s < step_.num_sequences; ++s) {
      const int first = step_.cu_seqlens[s];
      const int tokens = step_.cu_seqlens[s + 1] - first;
      for (const KvHeadUse& use : spec_.heads) {
        const int rows = tokens * use.count;
        for (int row = 0; row < rows; row += kAttentionRows) {
          const int n = std::min(kAttentionRows, rows - row);
          const int last = first + (row + n - 1) / use.count;
          units_.push_back(
              {s, &use, row, n, step_.positions[last] / kKeySegment + 1});
        }
      }
    }
  }

  int PartialStride() const { return kPartialHeader + spec_.head_dim; }

  bool SharesSegments() const {
    if (units_.size() >= static_cast<size_t>(pool_.threads())) return false;
    int64_t states = 0;
    int longest = 0;
    for (const Unit& unit : units_) {
      states += int64_t{unit.num_rows} * unit.num_segments;
      longest = std::max(longest, unit.num_segments);
    }
    return longest > 1 && states * PartialStride() * 4 <= shape_.partial_bytes;
  }

  AttentionTask TaskOf(const Unit& unit, int thread) const {
    AttentionTask task;
    task.kv = &kv_;
    task.block_table =
        step_.block_tables + int64_t{unit.sequence} * step_.block_stride;
    task.kv_head = unit.use->kv_head;
    task.scale = spec_.scale;
    task.end_segment = unit.num_segments;
    task.num_rows = unit.num_rows;
    task.scratch = scratch_ + shape_.per_thread + thread * shape_.thread_bytes;
    for (int i = 0; i < unit.num_rows; ++i) {
      const int row = unit.first_row + i;
      const int t = step_.cu_seqlens[unit.sequence] + row / unit.use->count;
      const int head = unit.use->first_q_head + row % unit.use->count;
      const int end = step_.positions[t] + 1;
      task.q[i] = qkv_.row<float>(t) + head * spec_.head_dim;
      task.begin_key[i] =
          spec_.window > 0 ? std::max(0, end - spec_.window) : 0;
      task.end_key[i] = end;
      task.out[i] = out_.row<float>(t) + head * spec_.head_dim;
      task.partial[i] = nullptr;
    }
    return task;
  }

  void AttendUnit(const Unit& unit, int thread) {
    kernels_.attend(TaskOf(unit, thread));
  }

  // Where the states of a unit's first row start: [rows][segments].
  void AttendBySegments() {
    struct Piece {
      size_t unit;
      int segment;
    };
    std::vector<Piece> pieces;
    std::vector<float*> states;
    float* next = reinterpret_cast<float*>(scratch_ + shape_.partials);
    for (size_t u = 0; u < units_.size(); ++u) {
      states.push_back(next);
      next += int64_t{units_[u].num_rows} * units_[u].num_segments *
              PartialStride();
      for (int s = 0; s < units_[u].num_segments; ++s) pieces.push_back({u, s});
    }
    ForEach(pieces.size(), [&](size_t i, int thread) {
      const Piece& piece = pieces[i];
      const Unit& unit = units_[piece.unit];
      AttentionTask task = TaskOf(unit, thread);
      task.first_segment = piece.segment;
      task.end_segment = piece.segment + 1;
      for (int r = 0; r < unit.num_rows; ++r) {
        task.out[r] = nullptr;
        task.partial[r] =
            states[piece.unit] +
            (int64_t{r} * unit.num_segments + piece.segment) * PartialStride();
      }
      kernels_.attend(task);
    });
    for (size_t u = 0; u < units_.size(); ++u) MergeUnit(units_[u], states[u]);
  }

  void MergeUnit(const Unit& unit, const float* states) {
    const AttentionTask task = TaskOf(unit, 0);
    for (int r = 0; r < unit.num_rows; ++r)
      kernels_.merge(states + int64_t{r} * unit.num_segments * PartialStride(),
                     unit.num_segments, PartialStride(), spec_.head_dim,
                     task.out[r]);
  }

  const MatrixView qkv_;
  const AttentionSpec& spec_;
  const StepView& step_;
  const KvLayer& kv_;
  const AttentionKernels& kernels_;
  ThreadPool& pool_;
  const ScratchShape& shape_;
  std::byte* const scratch_;
  const MatrixView out_;
  std::vector<Unit> units_;
};

}  // namespace

void CpuAttend(MatrixView qkv, const AttentionSpec& spec, const StepView& step,
               const KvLayer& kv, Isa isa, ThreadPool& pool,
               const ScratchShape& shape, std::byte* scratch, MatrixView out) {
  CHECK_LE(spec.head_dim, kMaxHeadDim);
  CHECK_LE(2 * static_cast<int>(spec.rope.inv_freq.size()), spec.head_dim);
  Attention(qkv, spec, step, kv, AttentionKernelsFor(isa, kv.dtype), pool,
            shape, scratch, out)
      .Run();
}

}  // namespace quatrain
