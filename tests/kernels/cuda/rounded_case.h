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

// One output: its exact value, how far a result may be from it, and how far the
// roundings of its operands take it; 0: not known.
struct Bounded {
  double value = 0.0, error = 0.0, spread = 0.0;
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
                                   : 2 * unit + unit * unit + c.cols * 0x1p-23;
    Bounded y;
    double squares = 0.0;
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
      squares += (w * row[k]) * (w * row[k]);
      y.error +=
          std::fabs(w) * (std::fabs(row[k]) * relative + largest * 0x1p-38);
      if (c.half)
        y.error += BiasedError(part, b) * std::fabs(row[k]) * part.s[at];
    }
    y.spread = unit * std::sqrt(squares);
    return y;
  }

  // Of a block's sum in half_product(), over the sum of s |x|. It begins at
  // -sum of (base + z) x, and sum of (base + q) x is added, base 1024 or 64,
  // with bf16 128. After any of it no more is left than (base + 15) times the
  // sum of |x|: a rounded x makes that less than (base + 30). Tensor cores cut
  // off what is below 2^-23 of the largest in a sum, once per k and per 4 k for
  // the sum before; the start is a sum of as much in at most 12 steps.
  double BiasedError(const HostInt4& part, size_t b) const {
    const double base = c.scales == kQuatrainBF16 ? 128.0 : 1024.0;
    const int length = part.ends[b] - (b > 0 ? part.ends[b - 1] : 0);
    return (1.25 * length + 12) * 0x1p-23 * (base + 30);
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

constexpr double kMostSpread = 3.0;

inline void Check(const Case& c) {
  const Setup setup(c);
  std::vector<int32_t> marks;
  const std::vector<double> actual = Run(setup, marks);
  if (!runner::Skipped().empty()) return;
  const int width = c.output == kQuatrainGated ? c.rows / 2 : c.rows;
  EXPECT_EQ(actual.size(), static_cast<size_t>(c.tokens) * width);
  int wrong = 0;
  double worst = 0.0, squares = 0.0;
  int spreads = 0;
  for (int t = 0; t < c.tokens; ++t) {
    const std::vector<Bounded> expected = setup.Expected(t);
    EXPECT_EQ(marks[t], 0);
    for (int n = 0; n < width; ++n) {
      const double error = std::fabs(actual[t * width + n] - expected[n].value);
      if (!(error <= expected[n].error)) ++wrong;  // a NaN is wrong
      worst = std::max(worst, error / expected[n].error);
      if (expected[n].spread == 0.0) continue;
      squares += std::pow(error / expected[n].spread, 2);
      ++spreads;
    }
  }
  EXPECT_TEXT(wrong == 0, std::to_string(wrong) + " of M " +
                              std::to_string(c.tokens) + " K " +
                              std::to_string(c.cols) + " N " +
                              std::to_string(c.rows) + ", worst " +
                              std::to_string(worst) + " of the bound");
  // A bound adds up all that may go wrong at once, which hides a wrong zero or
  // a k left out where K is large. Roundings are independent of each other.
  const double rms = spreads > 0 ? std::sqrt(squares / spreads) : 0.0;
  EXPECT_TEXT(rms <= kMostSpread, "the root mean square of the errors is " +
                                      std::to_string(rms) +
                                      " times the roundings of the operands");
}

inline void CheckSizes(Case c) {
  for (const float scale : {1e-30f, 1e-4f, 1.0f, 1e4f}) {
    c.x_scale = scale;
    c.norm = false;
    Check(c);
    c.norm = scale > 1e-10f;
    Check(c);
  }
}

// Of four tokens.
inline void CheckMarks(Case c) {
  Setup setup(c);
  setup.x[1 * c.cols + 7] = INFINITY;
  setup.x[2 * c.cols + c.cols - 1] = NAN;
  std::vector<int32_t> marks;
  Run(setup, marks);
  if (!runner::Skipped().empty()) return;
  EXPECT_SAME(marks, (std::vector<int32_t>{0, 1, 1, 0}), "not finite");
  c.output = kQuatrainPartial;
  c.x_scale = 1e9f;
  Run(Setup(c), marks);
  EXPECT_SAME(marks, (std::vector<int32_t>{1, 1, 1, 1}), "too large");
}

// What f16 can tell apart on both sides of 2^23: from there on a row is marked.
// Of four tokens and one weight.
inline void CheckLimit(const Case& c) {
  Setup setup(c);
  setup.parts[0].q = {8};
  setup.parts[0].z = {7};
  setup.parts[0].s = {1.0f};
  setup.x = {0x1p22f, 0x1p23f, -0x1p23f, 0x1p23f - 0x1p12f};
  std::vector<int32_t> marks;
  Run(setup, marks);
  if (!runner::Skipped().empty()) return;
  EXPECT_SAME(marks, (std::vector<int32_t>{0, 1, 1, 0}), "at 2^23");
}

using Entry = int (*)(const QuatrainDequantProduct*, QuatrainStream);

inline void CheckNothingToDo(Entry product) {
  QuatrainDequantProduct op = {};
  op.linear.rows = 16;
  EXPECT_EQ(product(&op, nullptr), int{kQuatrainOk});
  op.linear.rows = 0;
  op.num_tokens = 1;
  EXPECT_EQ(product(&op, nullptr), int{kQuatrainOk});
}

inline void CheckTooLittleScratch(Entry product) {
  QuatrainDequantProduct op = {};
  op.num_tokens = 1;
  op.linear.rows = op.linear.cols = 16;
  op.linear.num_blocks = op.linear.num_pairs = 1;
  op.scratch_bytes = 100;
  EXPECT_EQ(product(&op, nullptr), int{kQuatrainBadArgument});
  op.linear.num_blocks = 0;
  EXPECT_EQ(product(&op, nullptr), int{kQuatrainBadArgument});
}

}  // namespace quatrain::rounded
