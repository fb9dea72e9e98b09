#pragma once

#include <cmath>

#include "kernels/math.h"
#include "tests/kernels/cuda/compare.h"
#include "tests/kernels/cuda/linear_case.h"

// The int4 products of the default mode, which round: each output is compared
// with the exact value in f64, within what the roundings allow.
namespace quatrain::rounded {

struct Case {
  int tokens, cols, rows;
  int group = 128, head = 128;
  int output = kQuatrainStore;
  QuatrainDType scales = kQuatrainF16;
  bool norm = false;
  float x_scale = 1.0f;
  bool half = false;  // half_product(), else dequant_product()
};

// One output: its exact value, and how far a result may be from it.
struct Bounded {
  double value = 0.0, error = 0.0;
};

struct Setup {
  Case c;
  std::vector<HostInt4> parts;
  std::vector<float> x, weight, bias;

  explicit Setup(const Case& of) : c(of) {
    Random random(11);
    const int num_parts = c.output == kQuatrainGated ? 2 : 1;
    for (int p = 0; p < num_parts; ++p)
      parts.emplace_back(c.rows / num_parts, c.cols,
                         BlockEnds(c.cols, c.group, c.head), c.scales, 0.01f,
                         random);
    for (int i = 0; i < c.tokens * c.cols; ++i)
      x.push_back(random.Bell() * c.x_scale);
    x[c.cols / 2] *= 300.0f;
    for (int k = 0; c.norm && k < c.cols; ++k)
      weight.push_back(random.Uniform(0.5f, 1.5f));
    for (int n = 0; c.output == kQuatrainStore && n < c.rows; ++n)
      bias.push_back(random.Bell());
  }

  std::vector<float> Row(int t) const {
    std::vector<float> row(x.begin() + t * c.cols,
                           x.begin() + (t + 1) * c.cols);
    if (!c.norm) return row;
    std::vector<float> normed(row.size());
    ReferenceRmsNorm(row, {weight, 1e-5f}, normed);
    return normed;
  }

  // y of one output.
  //
  // dequant_product(): unit roundoff of the operands' type, twice (weight and
  // activation), and of f32 for every addition.
  //
  // half_product(): of the operands' type once (activation), of f32 for every
  // block of k, and BiasedError(). Both: subnormals of f16, 2^-25 of a row
  // scaled to 2^14, are far below.
  Bounded Output(const std::vector<float>& row, const HostInt4& part,
                 int n) const {
    const double unit = c.scales == kQuatrainBF16 ? 0x1p-8 : 0x1p-11;
    const double relative = c.half ? unit + part.ends.size() * 0x1p-23
                                   : 2 * unit + unit * unit + c.cols * 0x1p-24;
    Bounded y;
    size_t b = 0;
    double largest = 0.0;
    for (const float value : row)
      largest = std::max(largest, std::fabs(double{value}));
    for (int k = 0; k < c.cols; ++k) {
      if (k >= part.ends[b]) ++b;
      const size_t at = n * part.ends.size() + b;
      const double w =
          (part.q[size_t(n) * c.cols + k] - part.z[at]) * double{part.s[at]};
      y.value += w * row[k];
      y.error +=
          std::fabs(w) * (std::fabs(row[k]) * relative + largest * 0x1p-38);
      if (c.half)
        y.error += BiasedError(part, b) * std::fabs(row[k]) * part.s[at];
    }
    return y;
  }

  // Of a block's sum in half_product(), over the sum of s |x|. It begins at
  // -sum of (base + z) x, and sum of (base + q) x is added, base 1024 or 64,
  // with bf16 128. After any of it no more is left than (base + 15) times the
  // sum of |x|: a rounded x makes that less than (base + 30). Tensor cores cut
  // off what is below 2^-23 of the largest in a sum, once per k; before, the
  // start is a sum of as much in at most 10 steps.
  double BiasedError(const HostInt4& part, size_t b) const {
    const double base = c.scales == kQuatrainBF16 ? 128.0 : 1024.0;
    const int length = part.ends[b] - (b > 0 ? part.ends[b - 1] : 0);
    return (length + 10) * 0x1p-23 * (base + 30);
  }

  std::vector<Bounded> Expected(int t) const {
    const std::vector<float> row = Row(t);
    std::vector<Bounded> out;
    for (const HostInt4& part : parts)
      for (int n = 0; n < part.rows; ++n) out.push_back(Output(row, part, n));
    for (size_t n = 0; n < bias.size(); ++n) {
      out[n].value += bias[n];
      out[n].error += std::fabs(out[n].value) * 0x1p-23;
    }
    return c.output == kQuatrainGated ? Gated(out) : out;
  }

  // The slope of silu is at most 1.1.
  static std::vector<Bounded> Gated(const std::vector<Bounded>& out) {
    const size_t half = out.size() / 2;
    std::vector<Bounded> gated(half);
    for (size_t i = 0; i < half; ++i) {
      const Bounded &g = out[i], &u = out[half + i];
      const double silu = g.value / (1.0 + std::exp(-g.value));
      gated[i].value = silu * u.value;
      gated[i].error = 1.1 * g.error * (std::fabs(u.value) + u.error) +
                       std::fabs(silu) * u.error +
                       std::fabs(gated[i].value) * 0x1p-20;
    }
    return gated;
  }
};

// Whether there is no library; the case then says that it skips.
inline bool HasNoLibrary(int error) {
  if (error != kQuatrainNotSupported) return false;
  runner::Skipped() = Cuda().message();
  return true;
}

// Outputs as f64, [tokens][width]; the marks to `marks`. Nothing where there is
// no library.
inline std::vector<double> Run(const Setup& setup,
                               std::vector<int32_t>& host_marks) {
  const Case& c = setup.c;
  DeviceInt4 linear(c.rows, c.cols, setup.parts[0].ends, c.scales);
  for (size_t p = 0; p < setup.parts.size(); ++p)
    linear.Pack(setup.parts[p],
                setup.parts.size() == 2 ? static_cast<int>(p) + 1 : 0);
  const int width = c.output == kQuatrainGated ? c.rows / 2 : c.rows;
  const bool partial = c.output == kQuatrainPartial;
  const size_t size = static_cast<size_t>(c.tokens) * width;
  const DeviceArray<float> x(setup.x), weight(setup.weight), bias(setup.bias);
  const DeviceArray<int64_t> sums(partial ? size : 0);
  const DeviceArray<float> out(partial ? 0 : size);
  const DeviceArray<int32_t> marks(c.tokens);
  const QuatrainInt4& view = linear.view();
  const int64_t bytes =
      c.half
          ? Cuda().half_scratch_bytes(c.tokens, view.num_pairs, view.num_blocks)
          : Cuda().dequant_scratch_bytes(c.tokens, c.rows, view.num_pairs);
  const DeviceArray<unsigned char> scratch(bytes);
  const QuatrainDequantProduct op{
      view,
      x.data(),
      c.cols,
      nullptr,
      c.norm ? weight.data() : nullptr,
      1e-5f,
      c.tokens,
      c.output,
      setup.bias.empty() ? nullptr : bias.data(),
      partial ? static_cast<void*>(sums.data()) : out.data(),
      width,
      marks.data(),
      scratch.data(),
      bytes};
  const int error = c.half ? Cuda().half_product(&op, nullptr)
                           : Cuda().dequant_product(&op, nullptr);
  if (HasNoLibrary(error)) return {};
  CudaOk(error, c.half ? "half_product" : "dequant_product");
  std::vector<double> result;
  for (const int64_t sum : sums.Download())
    result.push_back(static_cast<double>(sum) * 0x1p-28);
  for (const float value : out.Download()) result.push_back(value);
  host_marks = marks.Download();
  return result;
}

inline void Check(const Case& c) {
  const Setup setup(c);
  std::vector<int32_t> marks;
  const std::vector<double> actual = Run(setup, marks);
  if (!runner::Skipped().empty()) return;
  const int width = c.output == kQuatrainGated ? c.rows / 2 : c.rows;
  EXPECT_EQ(actual.size(), static_cast<size_t>(c.tokens) * width);
  int wrong = 0;
  double worst = 0.0;
  for (int t = 0; t < c.tokens; ++t) {
    const std::vector<Bounded> expected = setup.Expected(t);
    EXPECT_EQ(marks[t], 0);
    for (int n = 0; n < width; ++n) {
      const double error = std::fabs(actual[t * width + n] - expected[n].value);
      if (!(error <= expected[n].error)) ++wrong;  // a NaN is wrong
      worst = std::max(worst, error / expected[n].error);
    }
  }
  EXPECT_TEXT(wrong == 0, std::to_string(wrong) + " of M " +
                              std::to_string(c.tokens) + " K " +
                              std::to_string(c.cols) + " N " +
                              std::to_string(c.rows) + ", worst " +
                              std::to_string(worst) + " of the bound");
}

}  // namespace quatrain::rounded
