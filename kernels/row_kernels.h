#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "kernels/step.h"

namespace quatrain {

inline constexpr int kVocabTile = 256;  // ids under one log-sum-exp

// The parts of sampling that touch every logit, on one rank's part of one row
// (docs/numerics.md, 6). `logits` are the raw logits of consecutive ids, the
// first of which is `first_id`, a multiple of kVocabTile; never empty, all
// finite unless said otherwise. Indices count from 0 within `logits`. Called
// from several threads at once.
class RowKernels {
 public:
  virtual ~RowKernels() = default;

  // Calls body(i) for i in [0, n), possibly in parallel; returns when all are
  // done.
  virtual void ForEachRow(int n, const std::function<void(int)>& body) const;

  // False if any logit is infinite or NaN.
  virtual bool AllFinite(std::span<const float> logits) const = 0;

  // out[t]: the log-sum-exp of tile t of logits / temperature (1: as they are).
  virtual void TileLogSumExp(std::span<const float> logits, float temperature,
                             std::span<float> out) const = 0;

  // Index of the largest logit, the lowest of equals.
  virtual int Largest(std::span<const float> logits) const = 0;

  // Index of the largest Perturbed() value, the lowest of equals.
  virtual int LargestPerturbed(std::span<const float> logits, int first_id,
                               const SamplingSetup& setup,
                               int position) const = 0;

  // The first out.size() <= logits.size() indices in the order of logit /
  // temperature falling, then index rising.
  virtual void Best(std::span<const float> logits, float temperature,
                    std::span<int32_t> out) const = 0;

  // How many logits are larger than `value`, or equal to it at an index below
  // `end_of_ties` (which may be negative or past the end).
  virtual int CountBefore(std::span<const float> logits, float value,
                          int end_of_ties) const = 0;
};

// The definition: plain loops.
class ReferenceRowKernels : public RowKernels {
 public:
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
};

}  // namespace quatrain
