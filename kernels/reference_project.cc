#include <cmath>

#include "base/check.h"
#include "kernels/exact_sum.h"
#include "kernels/math.h"
#include "kernels/reference_math.h"

namespace quatrain {
namespace {

// The digits of one row of x over the blocks of one part.
struct RowDigits {
  std::vector<int32_t> xi;          // [cols]
  std::vector<BlockDigits> blocks;  // [blocks]
};

RowDigits DigitsOfRow(std::span<const float> x, std::span<const int> ends,
                      Activations activations) {
  const int max_digits =
      activations == Activations::kInt8 ? kMaxOneDigit : kMaxDigits;
  RowDigits row{.xi = std::vector<int32_t>(x.size())};
  int begin = 0;
  for (const int end : ends) {
    row.blocks.push_back(DigitsOfBlock(x.subspan(begin, end - begin),
                                       row.xi.data() + begin, max_digits));
    begin = end;
  }
  return row;
}

// Adds contribution `c` to `sum`. False if it marks the row.
bool Accumulate(float c, int64_t& sum) {
  if (!ContributionFits(c)) return false;
  sum = AddFixed(sum, ToFixed(c));
  return true;
}

bool AddInt4Output(const RowDigits& digits, const ReferencePart& part, int cols,
                   int n, int64_t& sum) {
  const uint8_t* q = part.q + static_cast<size_t>(n) * cols;
  const size_t first_scale = n * part.block_ends.size();
  bool fits = true;
  int k = 0;
  for (size_t b = 0; b < part.block_ends.size(); ++b) {
    const int32_t z = part.z[first_scale + b];
    int32_t d = 0;
    for (; k < part.block_ends[b]; ++k) d += (q[k] - z) * digits.xi[k];
    const float c =
        Int4Contribution(d, digits.blocks[b].a, part.s[first_scale + b]);
    fits &= digits.blocks[b].finite && Accumulate(c, sum);
  }
  return fits;
}

bool AddDenseOutput(std::span<const float> x, const ReferencePart& part, int n,
                    int64_t& sum) {
  const size_t row = n * x.size();
  bool fits = true;
  int k = 0;
  for (const int end : part.block_ends) {
    float c = 0.0f;
    for (; k < end; ++k)
      c = std::fma(x[k], LoadAs(part.dense_dtype, part.dense, row + k), c);
    fits &= Accumulate(c, sum);
  }
  return fits;
}

// --activations f32: one plain sum of products, rounded once.
double PlainProduct(std::span<const float> x, const ReferencePart& part,
                    int n) {
  const size_t row = n * x.size();
  const size_t first_scale = n * part.block_ends.size();
  double sum = 0;
  size_t k = 0;
  for (size_t b = 0; b < part.block_ends.size(); ++b) {
    for (; k < static_cast<size_t>(part.block_ends[b]); ++k) {
      const double weight =
          part.is_int4 ? (part.q[row + k] - part.z[first_scale + b]) *
                             static_cast<double>(part.s[first_scale + b])
                       : LoadAs(part.dense_dtype, part.dense, row + k);
      sum += x[k] * weight;
    }
  }
  return sum;
}

bool AddPlainOutput(std::span<const float> x, const ReferencePart& part, int n,
                    int64_t& sum) {
  const double product = PlainProduct(x, part, n);
  if (!(std::fabs(product) < 0x1p34)) return false;
  sum = AddFixed(sum, std::llrint(product * 0x1p28));
  return true;
}

bool AllFinite(std::span<const float> x) {
  for (const float value : x)
    if (!std::isfinite(value)) return false;
  return true;
}

// sums: [part.rows]. False if the row is marked.
bool AddPart(std::span<const float> x, const ReferencePart& part,
             Activations activations, int64_t* sums) {
  const int cols = static_cast<int>(x.size());
  const bool exact = activations != Activations::kF32;
  RowDigits digits;
  if (exact && part.is_int4)
    digits = DigitsOfRow(x, part.block_ends, activations);
  bool fits = true;
  for (int n = 0; n < part.rows; ++n) {
    if (!exact)
      fits &= AddPlainOutput(x, part, n, sums[n]);
    else if (part.is_int4)
      fits &= AddInt4Output(digits, part, cols, n, sums[n]);
    else
      fits &= AddDenseOutput(x, part, n, sums[n]);
  }
  return fits;
}

}  // namespace

void ReferenceSums(std::span<const float> x,
                   std::span<const ReferencePart> parts,
                   Activations activations, std::span<int64_t> sums) {
  std::fill(sums.begin(), sums.end(), 0);
  bool fits = AllFinite(x);
  size_t first = 0;
  for (const ReferencePart& part : parts) {
    CHECK_LT(first + part.rows, sums.size());
    fits &= AddPart(x, part, activations, sums.data() + first);
    first += part.rows;
  }
  CHECK_EQ(first + 1, sums.size());
  sums.back() = fits ? 0 : 1;
}

void ReferenceOutputs(std::span<const float> x,
                      std::span<const ReferencePart> parts,
                      std::span<const float> bias, Activations activations,
                      std::span<float> out) {
  std::vector<int64_t> sums(out.size() + 1);
  ReferenceSums(x, parts, activations, sums);
  for (size_t n = 0; n < out.size(); ++n) {
    out[n] = FromFixed(sums[n]);
    if (!bias.empty()) out[n] = out[n] + bias[n];
    if (sums.back() != 0) out[n] = MarkedValue();
  }
}

void ReferenceRmsNorm(std::span<const float> x, const Norm& norm,
                      std::span<float> out) {
  CHECK_EQ(x.size(), norm.weight.size());
  constexpr int kPartialSums = 256;
  float partial[kPartialSums] = {};
  for (size_t d = 0; d < x.size(); ++d)
    partial[d % kPartialSums] = std::fma(x[d], x[d], partial[d % kPartialSums]);
  const float mean =
      HalvingSum(partial, kPartialSums) / static_cast<float>(x.size());
  const float scale = 1.0f / std::sqrt(mean + norm.eps);
  for (size_t d = 0; d < x.size(); ++d)
    out[d] = (x[d] * scale) * norm.weight[d];
}

}  // namespace quatrain
