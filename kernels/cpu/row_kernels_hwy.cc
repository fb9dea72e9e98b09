// What:      the parts of sampling that touch every logit of a row.
// How:       ids across lanes; values by docs/numerics.md, 6.
// Compiled:  once per instruction set, by Highway.

#include "kernels/cpu/cpu_row_kernels.h"
#include "kernels/cpu/hwy_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_kernels_hwy.cc"
#include <algorithm>
#include <cstring>
#include <limits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/gumbel.h"
#include "kernels/math.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::CappedTag<float, 16>;
using VF32 = hn::Vec<F32>;

constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Calls body(i, v) for all vectors of `values`; lanes past the end are `fill`.
template <class Body>
HWY_INLINE void ForEachVector(std::span<const float> values, float fill,
                              const Body& body) {
  const F32 df;
  const int n = static_cast<int>(values.size());
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, hn::LoadU(df, &values[i]));
  if (i == n) return;
  float last[kLanes];
  std::fill_n(last, kLanes, fill);
  std::memcpy(last, &values[i], (n - i) * sizeof(float));
  body(i, hn::LoadU(df, last));
}

float Maximum(std::span<const float> values) {
  const F32 df;
  VF32 largest = hn::Set(df, -kInfinity);
  ForEachVector(values, -kInfinity,
                [&](int, VF32 v) HWY_ATTR { largest = hn::Max(largest, v); });
  return hn::GetLane(hn::MaxOfLanes(df, largest));
}

// The first index of `value`, which is there.
int IndexOf(std::span<const float> values, float value) {
  return static_cast<int>(std::find(values.begin(), values.end(), value) -
                          values.begin());
}

bool AllFinite(std::span<const float> logits) {
  const F32 df;
  auto finite = hn::Eq(hn::Zero(df), hn::Zero(df));
  ForEachVector(logits, 0.0f, [&](int, VF32 v) HWY_ATTR {
    finite = hn::And(finite, hn::Lt(hn::Abs(v), hn::Set(df, kInfinity)));
  });
  return hn::AllTrue(df, finite);
}

float TileLogSumExp(std::span<const float> logits, float temperature) {
  const F32 df;
  alignas(64) float scaled[kVocabTile];
  alignas(64) float terms[kVocabTile] = {};
  const VF32 divisor = hn::Set(df, temperature);
  ForEachVector(logits, -kInfinity, [&](int i, VF32 v) HWY_ATTR {
    hn::Store(hn::Div(v, divisor), df, scaled + i);
  });
  const float max = Maximum({scaled, logits.size()});
  const int n = static_cast<int>(logits.size());
  for (int i = 0; i < n; i += kLanes)
    hn::Store(HWY_NAMESPACE::Exp(
                  df, hn::Sub(hn::Load(df, scaled + i), hn::Set(df, max))),
              df, terms + i);
  // Lanes past the end held -infinity, so their terms are 0.
  return max + quatrain::Log(HalvingSum(terms, kVocabTile));
}

int Largest(std::span<const float> logits) {
  return IndexOf(logits, Maximum(logits));
}

HWY_INLINE VF32 GumbelOfBits(const uint32_t* bits) {
  const F32 df;
  const hn::Rebind<uint32_t, F32> du;
  const hn::Rebind<int32_t, F32> di;
  const auto half = hn::BitCast(di, hn::ShiftRight<1>(hn::LoadU(du, bits)));
  const VF32 w = hn::MulAdd(hn::ConvertTo(df, half), hn::Set(df, 0x1p-31f),
                            hn::Set(df, 0x1p-32f));
  const VF32 least = hn::Set(df, 0x1p-25f);
  VF32 x = hn::Sub(hn::Set(df, 1.0f), w);
  x = hn::IfThenElse(hn::Gt(x, least), x, least);
  VF32 f = x, e = x;
  SplitForLog(df, x, f, e);
  const auto small = hn::Lt(w, hn::Set(df, 0.25f));
  f = hn::IfThenElse(small, hn::Neg(w), f);
  e = hn::IfThenElse(small, hn::Zero(df), e);
  return hn::Neg(HWY_NAMESPACE::Log(df, hn::Neg(LogOfParts(df, f, e))));
}

constexpr int kDrawIds = 64;  // drawn together

// values[i] = the perturbed value of logits[i], i < n <= kDrawIds; -infinity
// from there on. first_id is a multiple of 4.
void PerturbedValues(const float* logits, int n, int first_id,
                     const SamplingSetup& setup, int position, float* values) {
  const F32 df;
  alignas(64) uint32_t bits[kDrawIds];
  alignas(64) float l[kDrawIds] = {};
  std::memcpy(l, logits, n * sizeof(float));
  for (int i = 0; i < kDrawIds; i += 4) {
    const PhiloxBlock block =
        DrawBits(setup, position, static_cast<uint32_t>(first_id + i) >> 2);
    std::copy(block.begin(), block.end(), bits + i);
  }
  const VF32 divisor = hn::Set(df, setup.temperature);
  for (int i = 0; i < kDrawIds; i += kLanes)
    hn::Store(
        hn::Add(hn::Div(hn::Load(df, l + i), divisor), GumbelOfBits(bits + i)),
        df, values + i);
  std::fill(values + n, values + kDrawIds, -kInfinity);
}

int LargestPerturbed(std::span<const float> logits, int first_id,
                     const SamplingSetup& setup, int position) {
  const int size = static_cast<int>(logits.size());
  int best = 0;
  float best_value = -kInfinity;
  for (int i = 0; i < size; i += kDrawIds) {
    alignas(64) float values[kDrawIds];
    PerturbedValues(&logits[i], std::min(kDrawIds, size - i), first_id + i,
                    setup, position, values);
    const float largest = Maximum({values, kDrawIds});
    if (largest <= best_value) continue;
    best = i + IndexOf({values, kDrawIds}, largest);
    best_value = largest;
  }
  return best;
}

int CountBefore(std::span<const float> logits, float value, int end_of_ties) {
  const F32 df;
  const VF32 limit = hn::Set(df, value);
  const int size = static_cast<int>(logits.size());
  const int end = std::clamp(end_of_ties, 0, size);
  size_t count = 0;
  ForEachVector(logits, -kInfinity, [&](int, VF32 v) HWY_ATTR {
    count += hn::CountTrue(df, hn::Gt(v, limit));
  });
  for (const float logit : logits.first(end)) count += logit == value;
  return static_cast<int>(count);
}

constexpr RowKernelTable kRowKernels = {AllFinite, TileLogSumExp, Largest,
                                        LargestPerturbed, CountBefore};

}  // namespace

const RowKernelTable& GetRowKernels() { return kRowKernels; }

#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/cpu/choose_target.h"

namespace quatrain {

const RowKernelTable& RowKernelsFor(Isa isa) {
  QUATRAIN_CHOOSE_TARGET(GetRowKernels());
}

}  // namespace quatrain
#endif  // HWY_ONCE
