#include "kernels/cpu/cpu_row_kernels.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace quatrain {
namespace {

// A number that grows as the value falls, and is the same for 0 and -0.
uint32_t FallingKey(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value + 0.0f);
  const uint32_t rising = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return ~rising;
}

// Keeps the `count` >= 1 smallest of many keys, in memory that does not grow
// with how many come by: once it holds twice as many, the larger half goes.
class BestKeys {
 public:
  explicit BestKeys(size_t count) : count_(count) { keys_.reserve(2 * count); }

  void Add(uint64_t key) {
    if (key >= bound_) return;
    keys_.push_back(key);
    if (keys_.size() == 2 * count_) Halve();
  }

  // Of all that were added.
  std::span<const uint64_t> Sorted() {
    if (keys_.size() > count_) Halve();
    std::sort(keys_.begin(), keys_.end());
    return keys_;
  }

 private:
  void Halve() {
    const auto end = keys_.begin() + static_cast<ptrdiff_t>(count_);
    std::nth_element(keys_.begin(), end - 1, keys_.end());
    bound_ = *(end - 1);
    keys_.erase(end, keys_.end());
  }

  const size_t count_;
  std::vector<uint64_t> keys_;
  uint64_t bound_ = UINT64_MAX;  // keys from here on are none of the best
};

}  // namespace

void CpuRowKernels::ForEachRow(int n,
                               const std::function<void(int)>& body) const {
  pool_.ParallelFor(n, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) body(static_cast<int>(i));
  });
}

bool CpuRowKernels::AllFinite(std::span<const float> logits) const {
  return table_.all_finite(logits);
}

void CpuRowKernels::TileLogSumExp(std::span<const float> logits,
                                  float temperature,
                                  std::span<float> out) const {
  for (size_t t = 0; t < out.size(); ++t) {
    const size_t begin = t * kVocabTile;
    const size_t size = std::min<size_t>(kVocabTile, logits.size() - begin);
    out[t] = table_.tile_log_sum_exp(logits.subspan(begin, size), temperature);
  }
}

int CpuRowKernels::Largest(std::span<const float> logits) const {
  return table_.largest(logits);
}

int CpuRowKernels::LargestPerturbed(std::span<const float> logits, int first_id,
                                    const SamplingSetup& setup,
                                    int position) const {
  return table_.largest_perturbed(logits, first_id, setup, position);
}

void CpuRowKernels::Best(std::span<const float> logits, float temperature,
                         std::span<int32_t> out) const {
  if (out.empty()) return;
  BestKeys best(out.size());
  for (size_t i = 0; i < logits.size(); ++i)
    best.Add(uint64_t{FallingKey(logits[i] / temperature)} << 32 | i);
  const std::span<const uint64_t> keys = best.Sorted();
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<int32_t>(keys[i] & 0xffffffffu);
}

int CpuRowKernels::CountBefore(std::span<const float> logits, float value,
                               int end_of_ties) const {
  return table_.count_before(logits, value, end_of_ties);
}

}  // namespace quatrain
