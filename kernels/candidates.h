#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/step.h"

// What the ranks' candidates of one row decide: filters and the draw
// (docs/numerics.md, 6). Private to the sampler and to tests.
namespace quatrain {

// An id and its raw logit.
struct Candidate {
  int32_t id = 0;
  float logit = 0.0f;
};

// The log-sum-exp of log-sum-exps (or of single values), in this order.
float MergeLogSumExp(std::span<const float> values);

// Sorts by logit / temperature falling, then id rising.
void SortCandidates(float temperature, std::vector<Candidate>& candidates);

// How many of `sorted` the filters keep, or nothing if that depends on ids
// beyond the first `exact`, up to which `sorted` is the vocabulary's own order.
// tile_lse: of all tiles of logit / temperature; needed for top_p without
// top_k.
std::optional<size_t> CountKept(const SamplingSetup& setup,
                                std::span<const Candidate> sorted, size_t exact,
                                size_t vocab_size,
                                std::span<const float> tile_lse);

// The best of a non-empty row's candidates: by logit where the temperature is
// 0, else by the perturbed value.
Candidate Draw(const SamplingSetup& setup, int position,
               std::span<const Candidate> kept);

}  // namespace quatrain
