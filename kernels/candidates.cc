#include "kernels/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/gumbel.h"
#include "kernels/math.h"

namespace quatrain {
namespace {

// The shortest prefix of `sorted` whose mass reaches top_p, or nothing.
std::optional<size_t> ShortestPrefix(const SamplingSetup& setup,
                                     std::span<const Candidate> sorted,
                                     float log_sum_exp) {
  const double wanted = static_cast<double>(setup.top_p) * 0x1p40;
  int64_t mass = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const float l = sorted[i].logit / setup.temperature;
    mass += static_cast<int64_t>(
        std::floor(static_cast<double>(Exp(l - log_sum_exp)) * 0x1p40));
    if (static_cast<double>(mass) >= wanted) return i + 1;
  }
  return std::nullopt;
}

float LogSumExpOf(const SamplingSetup& setup,
                  std::span<const Candidate> sorted) {
  std::vector<float> values;
  values.reserve(sorted.size());
  for (const Candidate& candidate : sorted)
    values.push_back(candidate.logit / setup.temperature);
  return MergeLogSumExp(values);
}

}  // namespace

float MergeLogSumExp(std::span<const float> values) {
  float max = -std::numeric_limits<float>::infinity();
  for (const float value : values) max = std::max(max, value);
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(Exp(value - max));
  return max + Log(static_cast<float>(sum));
}

void SortCandidates(float temperature, std::vector<Candidate>& candidates) {
  std::sort(candidates.begin(), candidates.end(),
            [&](const Candidate& a, const Candidate& b) {
              const float x = a.logit / temperature;
              const float y = b.logit / temperature;
              return x > y || (x == y && a.id < b.id);
            });
}

std::optional<size_t> CountKept(const SamplingSetup& setup,
                                std::span<const Candidate> sorted, size_t exact,
                                size_t vocab_size,
                                std::span<const float> tile_lse) {
  size_t limit = vocab_size;
  if (setup.top_k > 0) limit = std::min<size_t>(limit, setup.top_k);
  if (setup.top_p >= 1.0f)
    return limit <= exact ? std::optional(limit) : std::nullopt;
  if (setup.top_k > 0 && limit > exact) return std::nullopt;

  const std::span<const Candidate> known = sorted.first(std::min(limit, exact));
  const float log_sum_exp =
      setup.top_k > 0 ? LogSumExpOf(setup, known) : MergeLogSumExp(tile_lse);
  if (const auto kept = ShortestPrefix(setup, known, log_sum_exp)) return kept;
  return limit <= exact ? std::optional(limit) : std::nullopt;
}

Candidate Draw(const SamplingSetup& setup, int position,
               std::span<const Candidate> kept) {
  CHECK(!kept.empty());
  Candidate best;
  float best_value = 0.0f;
  for (size_t i = 0; i < kept.size(); ++i) {
    const Candidate& next = kept[i];
    const float value = setup.temperature > 0
                            ? Perturbed(next.logit, setup, position, next.id)
                            : next.logit;
    if (i > 0 &&
        (value < best_value || (value == best_value && next.id > best.id)))
      continue;
    best = next;
    best_value = value;
  }
  return best;
}

}  // namespace quatrain
