// The softmax of attention: of one tile of keys, and how the states of tiles
// and segments are merged (docs/numerics.md, 5). Included once per instruction
// set.

#if defined(QUATRAIN_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUATRAIN_ATTENTION_SOFTMAX_INL_H_
#undef QUATRAIN_ATTENTION_SOFTMAX_INL_H_
#else
#define QUATRAIN_ATTENTION_SOFTMAX_INL_H_
#endif

#include <cmath>
#include <cstring>
#include <limits>

#include "hwy/highway.h"
#include "kernels/cpu/attention_kernels.h"
#include "kernels/cpu/hwy_targets.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::CappedTag<float, 16>;
using VF32 = hn::Vec<F32>;

constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
constexpr int kTileVectors = kKeyTile / kLanes;

// A softmax over some keys, not yet divided by its sum; the values are apart.
struct State {
  float max = 0.0f;
  float sum = 0.0f;
  bool any = false;
};

// Scores to weights, in place, for keys [first, last) of the tile.
HWY_INLINE State Softmax(float scale, int first, int last, float* scores) {
  const F32 df;
  const VF32 begin = hn::Set(df, static_cast<float>(first));
  const VF32 end = hn::Set(df, static_cast<float>(last));
  const VF32 infinity = hn::Set(df, -std::numeric_limits<float>::infinity());
  VF32 s[kTileVectors];
  VF32 largest = infinity;
  for (int v = 0; v < kTileVectors; ++v) {
    const VF32 index = hn::Iota(df, static_cast<float>(v * kLanes));
    const auto visible = hn::And(hn::Ge(index, begin), hn::Lt(index, end));
    s[v] = hn::Mul(hn::Load(df, scores + v * kLanes), hn::Set(df, scale));
    largest = hn::Max(largest, hn::IfThenElse(visible, s[v], infinity));
  }
  State state{.max = hn::GetLane(hn::MaxOfLanes(df, largest)), .any = true};
  for (int v = 0; v < kTileVectors; ++v) {
    const VF32 index = hn::Iota(df, static_cast<float>(v * kLanes));
    const auto visible = hn::And(hn::Ge(index, begin), hn::Lt(index, end));
    const VF32 p =
        HWY_NAMESPACE::Exp(df, hn::Sub(s[v], hn::Set(df, state.max)));
    s[v] = hn::IfThenElseZero(visible, p);
    hn::Store(s[v], df, scores + v * kLanes);
  }
  for (int half = kTileVectors / 2; half > 0; half /= 2)
    for (int v = 0; v < half; ++v) s[v] = hn::Add(s[v], s[v + half]);
  state.sum = HalvingSumOfLanes(df, s[0]);
  return state;
}

// How the values of two states combine.
struct Weights {
  float earlier, later;
};

// For kRows states: updates the earlier one's numbers. The exponentials of all
// of them share vectors.
template <int kRows>
HWY_INLINE void MergeNumbers(const State* later, State* state,
                             Weights* weights) {
  const F32 df;
  constexpr int kPadded = (2 * kRows + kLanes - 1) / kLanes * kLanes;
  alignas(64) float exps[kPadded] = {};
  for (int r = 0; r < kRows; ++r) {
    const float max = state[r].max > later[r].max ? state[r].max : later[r].max;
    exps[2 * r] = state[r].max - max;
    exps[2 * r + 1] = later[r].max - max;
    state[r].max = max;
  }
  for (int i = 0; i < kPadded; i += kLanes)
    hn::Store(HWY_NAMESPACE::Exp(df, hn::Load(df, exps + i)), df, exps + i);
  for (int r = 0; r < kRows; ++r) {
    weights[r] = {exps[2 * r], exps[2 * r + 1]};
    state[r].sum = std::fma(state[r].sum, weights[r].earlier,
                            later[r].sum * weights[r].later);
  }
}

// values[0, width) of `state` become those of both. width: a multiple of 16.
HWY_INLINE void MergeState(const State& later, const float* from, int width,
                           State& state, float* values) {
  const F32 df;
  if (!later.any) return;
  if (!state.any) {
    state = later;
    std::memcpy(values, from, width * sizeof(float));
    return;
  }
  Weights w;
  MergeNumbers<1>(&later, &state, &w);
  const VF32 a = hn::Set(df, w.earlier), b = hn::Set(df, w.later);
  for (int d = 0; d < width; d += kLanes) {
    const VF32 add = hn::Mul(hn::LoadU(df, from + d), b);
    hn::StoreU(hn::MulAdd(hn::LoadU(df, values + d), a, add), df, values + d);
  }
}

void Divide(const float* values, float sum, int n, float* out) {
  for (int d = 0; d < n; ++d) out[d] = values[d] / sum;
}

}  // namespace
#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#endif  // QUATRAIN_ATTENTION_SOFTMAX_INL_H_
