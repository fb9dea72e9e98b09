#include "kernels/row_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/gumbel.h"
#include "kernels/math.h"

namespace quatrain {
namespace {

float LogSumExpOfTile(std::span<const float> logits, float temperature) {
  float max = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) max = std::max(max, logit / temperature);
  float terms[kVocabTile] = {};
  for (size_t i = 0; i < logits.size(); ++i)
    terms[i] = Exp(logits[i] / temperature - max);
  return max + Log(HalvingSum(terms, kVocabTile));
}

}  // namespace

void RowKernels::ForEachRow(int n, const std::function<void(int)>& body) const {
  for (int i = 0; i < n; ++i) body(i);
}

bool ReferenceRowKernels::AllFinite(std::span<const float> logits) const {
  return std::all_of(logits.begin(), logits.end(),
                     [](float logit) { return std::isfinite(logit); });
}

void ReferenceRowKernels::TileLogSumExp(std::span<const float> logits,
                                        float temperature,
                                        std::span<float> out) const {
  for (size_t t = 0; t < out.size(); ++t) {
    const size_t begin = t * kVocabTile;
    const size_t size = std::min<size_t>(kVocabTile, logits.size() - begin);
    out[t] = LogSumExpOfTile(logits.subspan(begin, size), temperature);
  }
}

int ReferenceRowKernels::Largest(std::span<const float> logits) const {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) -
                          logits.begin());
}

int ReferenceRowKernels::LargestPerturbed(std::span<const float> logits,
                                          int first_id,
                                          const SamplingSetup& setup,
                                          int position) const {
  int best = 0;
  float best_value = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    const int index = static_cast<int>(i);
    const float value = Perturbed(logits[i], setup, position, first_id + index);
    if (value <= best_value) continue;
    best = index;
    best_value = value;
  }
  return best;
}

void ReferenceRowKernels::Best(std::span<const float> logits, float temperature,
                               std::span<int32_t> out) const {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + out.size(), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = logits[a] / temperature;
                      const float y = logits[b] / temperature;
                      return x > y || (x == y && a < b);
                    });
  std::copy_n(order.begin(), out.size(), out.begin());
}

int ReferenceRowKernels::CountBefore(std::span<const float> logits, float value,
                                     int end_of_ties) const {
  int count = 0;
  for (size_t i = 0; i < logits.size(); ++i)
    count += logits[i] > value ||
             (logits[i] == value && static_cast<int>(i) < end_of_ties);
  return count;
}

}  // namespace quatrain
