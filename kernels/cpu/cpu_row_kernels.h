#pragma once

#include <functional>
#include <span>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/sampler.h"

namespace quatrain {

// The loops of RowKernels over one row's logits, per instruction set.
struct RowKernelTable {
  bool (*all_finite)(std::span<const float> logits);
  // Of at most kVocabTile logits.
  float (*tile_log_sum_exp)(std::span<const float> logits, float temperature);
  int (*largest)(std::span<const float> logits);
  int (*largest_perturbed)(std::span<const float> logits, int first_id,
                           const SamplingSetup& setup, int position);
  int (*count_before)(std::span<const float> logits, float value,
                      int end_of_ties);
};

const RowKernelTable& RowKernelsFor(Isa isa);

// RowKernels by SIMD, rows in parallel.
class CpuRowKernels : public RowKernels {
 public:
  CpuRowKernels(Isa isa, ThreadPool* pool)
      : table_(RowKernelsFor(isa)), pool_(*pool) {}

  void ForEachRow(int n, const std::function<void(int)>& body) const override;
  bool AllFinite(std::span<const float> logits) const override;
  void TileLogSumExp(std::span<const float> logits, float temperature,
                     std::span<float> out) const override;
  int Largest(std::span<const float> logits) const override;
  int LargestPerturbed(std::span<const float> logits, int first_id,
                       const SamplingSetup& setup, int position) const override;
  void Best(std::span<const float> logits, float temperature,
            std::span<int32_t> out) const override;
  int CountBefore(std::span<const float> logits, float value,
                  int end_of_ties) const override;

 private:
  const RowKernelTable& table_;
  ThreadPool& pool_;
};

}  // namespace quatrain
