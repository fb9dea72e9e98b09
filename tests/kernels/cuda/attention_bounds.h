#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/cuda/attention_case.h"
#include "tests/kernels/simt/runner.h"

// Attention of the default mode against one in f64 over the same stored K and
// V, element by element, within bounds that follow from its roundings.
//
// With u the unit roundoff of what q becomes (bf16 where the cache is bf16,
// else f16, which has all values of int8 and e4m3) and x[j] the score of key j
// in powers of two, sum_d q'[d] k[j, d], q' = scale * log2(e) * q:
//
//  - q' is rounded three times in f32 (2^-24) and once to the type: by at most
//    u |q'| and, in f16, half a subnormal step, 2^-25 * 2^e, where 2^e is at
//    most 2^-14 of the row's largest;
//  - a score is a sum of head_dim products in f32; tensor cores truncate, so
//    each addition errs by at most 2^-23 of the sum of absolute terms;
//  - int8: scores are multiplied by K's scale (2^-24), and what is read here
//    from the cache was rounded once more (2^-24);
//  - together x[j] errs by E[j]. m, subtracted, is the same for all keys of a
//    state and cancels; the subtraction errs by 2^-24 of |x| + |m|;
//  - exp2 errs by 2^-22. Rescaling, once per tile, and merging, once per tile
//    warp, piece and split, do so too, and take differences of m, which in
//    merging were rounded twice;
//  - weights on their way to V are rounded by u and, in f16, by 2^-25. Of int8
//    it is weights times scales, in units of which the row's largest scale is
//    at least 2^14; the product is rounded, and what is read here;
//  - sums over keys err by 2^-23 of the absolute terms per addition, and the
//    division, or the product with 1 / L, by 2^-23.
//
// A weight is thus p (1 + r), and out = N / L errs by
// (|dN| + |N / L| |dL|) / (L - |dL|).
namespace quatrain {

class AttendBounds {
 public:
  AttendBounds(const AttendStep& step, const std::vector<float>& outputs)
      : step_(step), case_(step.test_case()), out_(outputs) {}

  // That every output is within its bound.
  void Check(const std::string& what);
  // Of all bounds, once checked.
  double widest() const { return widest_; }

 private:
  struct Keys {                // those that a token sees
    std::vector<double> x, e;  // scores in powers of two, their errors
    double largest_x = 0, most_e = 0, m = 0;
    float largest_scale = 0;  // of V
    bool is_finite = true;
  };
  // A token's query head and what it reads.
  struct Place {
    int sequence, token, q_head, kv_head, begin, end;
  };
  Keys Scores(const Place& place) const;
  void CheckHead(const std::string& what, const Place& place);
  bool IsWithin(float got, double want, double bound, bool says,
                bool is_finite);

  bool is_f16() const { return case_.dtype != kQuatrainBF16; }
  bool is_int8() const { return case_.dtype == kQuatrainInt8; }
  double roundoff() const { return is_f16() ? 0x1p-11 : 0x1p-8; }

  const AttendStep& step_;
  const AttendCase& case_;
  const std::vector<float>& out_;
  double widest_ = 0;
};

inline AttendBounds::Keys AttendBounds::Scores(const Place& place) const {
  const int dim = case_.dim;
  const std::vector<float> q = step_.Head(place.token, place.q_head);
  const double scale = double(step_.scale()) * 1.4426950408889634;
  double largest_q = 0;
  for (const float x : q) largest_q = std::max(largest_q, std::fabs(x * scale));
  const double relative = roundoff() + 0x1p-22 + (is_int8() ? 0x1p-23 : 0.0);
  const double absolute = is_f16() ? largest_q * 0x1p-39 : 0x1p-130;
  Keys keys;
  keys.m = -std::numeric_limits<double>::infinity();
  for (int j = place.begin; j < place.end; ++j) {
    const float* k = step_.Cached(place.sequence, j, 0, place.kv_head).x;
    const AttendStep::Row v = step_.Cached(place.sequence, j, 1, place.kv_head);
    keys.largest_scale = std::max(keys.largest_scale, v.scale);
    double sum = 0, size = 0, rounding = 0;
    for (int d = 0; d < dim; ++d) {
      const double qd = q[d] * scale, kd = k[d];
      sum += qd * kd;
      size += std::fabs(qd * kd);
      rounding += (std::fabs(qd) * relative + absolute) * std::fabs(kd);
      keys.is_finite = keys.is_finite && std::isfinite(v.x[d]);
    }
    keys.is_finite = keys.is_finite && std::isfinite(sum);
    keys.x.push_back(sum);
    keys.e.push_back(rounding + (dim + dim / 16) * 0x1p-23 * 1.01 * size);
    keys.most_e = std::max(keys.most_e, keys.e.back());
    keys.largest_x = std::max(keys.largest_x, std::fabs(sum));
    if (sum > keys.m) keys.m = sum;
  }
  keys.largest_x += keys.most_e;
  return keys;
}

inline void AttendBounds::CheckHead(const std::string& what,
                                    const Place& place) {
  const Keys keys = Scores(place);
  const int dim = case_.dim, n = place.end - place.begin;
  const double u = roundoff() + (is_int8() ? 0x1p-23 : 0.0);
  const double tiles = n / 32 + 2, states = 4 + n / 512 + 2;
  const double common = (tiles + 3 * states) * 0x1p-21 +
                        (2 + 4 * states) * keys.largest_x * 0x1p-23;
  double l = 0, dl = 0;
  std::vector<double> sums(dim), sizes(dim), errors(dim);
  for (int j = 0; j < n; ++j) {
    const double p = std::exp2(keys.x[j] - keys.m);
    const double r =
        std::exp2(keys.e[j]) * (1 + 0x1p-22) * std::exp(common) - 1;
    l += p;
    dl += p * r;
    const AttendStep::Row row =
        step_.Cached(place.sequence, place.begin + j, 1, place.kv_head);
    double lost = is_f16() ? 0x1p-25 * std::exp2(keys.most_e) : 0.0;
    if (is_int8()) lost *= keys.largest_scale * 0x1p-14 / row.scale;
    for (int d = 0; d < dim; ++d) {
      const double v = row.x[d];
      if (v == 0) continue;  // which may have no scale
      sums[d] += p * v;
      sizes[d] += p * std::fabs(v);
      errors[d] += std::fabs(v) * (p * (r + u * (1 + r)) + lost);
    }
  }
  const double additions = (n + n / 16 + 2 * tiles + states) * 0x1p-23;
  dl += l * additions;
  for (int d = 0; d < dim; ++d) {
    const float got =
        out_[(size_t(place.token) * step_.num_q_heads() + place.q_head) * dim +
             d];
    const double want = sums[d] / l;
    const double error = errors[d] + sizes[d] * additions;
    const double bound =
        (error + std::fabs(want) * dl) / (l - dl) + std::fabs(want) * 0x1p-22;
    const bool says = dl < l && std::isfinite(bound);
    if (says && !case_.is_hard && !std::isnan(want))
      widest_ = std::max(widest_, bound);
    if (IsWithin(got, want, bound, says, keys.is_finite)) continue;
    EXPECT_TEXT(false, what + ": token " + std::to_string(place.token) +
                           " head " + std::to_string(place.q_head) + " dim " +
                           std::to_string(d) + " is " + runner::Show(got) +
                           ", expected " + runner::Show(want) + " +- " +
                           runner::Show(bound));
    return;
  }
}

// `says`: the bound is one; without it any number will do.
inline bool AttendBounds::IsWithin(float got, double want, double bound,
                                   bool says, bool is_finite) {
  if (std::isnan(want)) return std::bit_cast<uint32_t>(got) == 0x7fc00000u;
  if (std::isinf(want)) return !std::isfinite(got);
  // Where an infinite K is met by a q that rounds to 0, it is NaN.
  if (!is_finite) return true;
  return std::isfinite(got) && (!says || std::fabs(got - want) <= bound);
}

inline void AttendBounds::Check(const std::string& what) {
  for (int s = 0; s < static_cast<int>(case_.sequences.size()); ++s)
    for (int t = step_.first_token(s); t < step_.first_token(s + 1); ++t)
      for (const QuatrainHeadUse& use : case_.heads)
        for (int h = 0; h < use.count; ++h) {
          const int end = step_.position(t) + 1;
          const int begin =
              case_.window > 0 ? std::max(0, end - case_.window) : 0;
          CheckHead(what,
                    {s, t, use.first_q_head + h, use.kv_head, begin, end});
        }
}

// Even weights, for which bounds are narrow.
constexpr CaseSizes kEvenSizes{0.25f, 1.0f, 1.0f};

// attend_mma(); `twice`: attends again, as the next layer.
inline void ExpectWithinBounds(AttendCase c, const std::string& what,
                               const CaseSizes& sizes = kEvenSizes,
                               bool twice = false) {
  c.uses_mma = true;
  c.sizes = sizes;
  AttendStep step(c);
  const std::vector<float> outputs = step.Device(twice);
  const std::string difference = step.CacheDifference();
  EXPECT_TEXT(difference.empty(), what + ": " + difference);
  AttendBounds(step, outputs).Check(what);
}

}  // namespace quatrain
