// Counters of the int4 products and of what makes their digits.

#include <algorithm>

#include "kernels/cuda/int4_half_plan.h"
#include "tests/kernels/cuda/counters_table.h"
#include "tests/kernels/cuda/linear_case.h"

namespace quatrain {
namespace {

// An int4 linear with its digits, ready to multiply.
struct LinearRun {
  int tokens, rows, cols, num_digits;
  DeviceInt4 linear;
  DeviceArray<float> x, norm_weight;
  DeviceDigits digits;
  DeviceArray<int32_t> marks;
  DeviceArray<float> out;
  DeviceArray<unsigned char> scratch;

  LinearRun(int num_tokens, int num_rows, int num_cols, int group, int of)
      : tokens(num_tokens),
        rows(num_rows),
        cols(num_cols),
        num_digits(of),
        linear(rows, cols, BlockEnds(cols, group), kQuatrainF16),
        x(SomeFloats(static_cast<size_t>(tokens) * cols)),
        norm_weight(SomeFloats(cols)),
        digits(linear.view(), tokens, of),
        marks(DeviceArray<int32_t>(tokens).Cleared()),
        out(static_cast<size_t>(tokens) * rows),
        scratch(static_cast<size_t>(std::max(
            Cuda().dequant_scratch_bytes(tokens, rows, linear.view().num_pairs),
            Cuda().half_scratch_bytes(tokens, linear.view().num_pairs,
                                      linear.view().num_blocks)))) {
    Random random(1);
    linear.Pack(HostInt4(rows, cols, BlockEnds(cols, group), kQuatrainF16,
                         0.01f, random));
  }

  void MakeDigits(bool norm = false) {
    const QuatrainMakeDigits op{
        x.data(),    cols,
        nullptr,     norm ? norm_weight.data() : nullptr,
        1e-5f,       linear.view(),
        tokens,      digits.view(),
        marks.data()};
    CudaOk(Cuda().digits(&op, nullptr), "digits");
  }
  QuatrainProduct Product(int kernel) const {
    return {linear.view(), digits.view(), tokens, kQuatrainStore,
            nullptr,       out.data(),    rows,   marks.data(),
            kernel,        nullptr};
  }
  void Multiply(int kernel) {
    const QuatrainProduct op = Product(kernel);
    CudaOk(Cuda().product(&op, nullptr), "product");
  }
  void MultiplySplit(const DeviceArray<unsigned char>& split_scratch) {
    QuatrainProduct op = Product(kQuatrainMediumRows);
    op.scratch = split_scratch.data();
    CudaOk(Cuda().product(&op, nullptr), "product");
  }
  void MultiplyFused() {
    const QuatrainFusedProduct op{x.data(),           cols,  nullptr,
                                  norm_weight.data(), 1e-5f, Product(0)};
    CudaOk(Cuda().fused_product(&op, nullptr), "fused_product");
  }
  QuatrainDequantProduct Rounded(const float* norm) const {
    return {linear.view(),  x.data(),
            cols,           nullptr,
            norm,           1e-5f,
            tokens,         kQuatrainStore,
            nullptr,        out.data(),
            rows,           marks.data(),
            scratch.data(), static_cast<int64_t>(scratch.bytes())};
  }
  void Dequantize() {
    const QuatrainDequantProduct op = Rounded(norm_weight.data());
    CudaOk(Cuda().dequant_product(&op, nullptr), "dequant_product");
  }
  void MultiplyHalf() {
    const QuatrainDequantProduct op = Rounded(nullptr);
    CudaOk(Cuda().half_product(&op, nullptr), "half_product");
  }

  // Weights of 4 bits, a scale of 16 and a zero of 4 per group.
  double WeightBytes() const {
    return rows * (cols * 0.5 + linear.view().num_blocks * 2.5);
  }
  // Digits with a and sum.
  double DigitBytes() const {
    return tokens * (static_cast<double>(cols) * num_digits +
                     linear.view().num_blocks * 8.0 + 4.0);
  }
  double XBytes() const { return tokens * (cols * 4.0); }
  double OutBytes() const { return tokens * (rows * 4.0); }
  Operand Weights() const {
    return {linear.tiles(), static_cast<double>(linear.weight_bytes())};
  }
  std::string Shape(int group) const {
    return ShapeText(tokens, rows, cols) +
           (group == 128 ? "" : " g" + std::to_string(group));
  }
};

CounterLine CountProduct(int tokens, int rows, int cols, int group,
                         int num_digits, int kernel) {
  LinearRun run(tokens, rows, cols, group, num_digits);
  run.MakeDigits();
  CounterLimits limits;
  // A header is 64 bytes of which 40 are needed: with groups of 64 that is 4 %
  // of the weights, with groups of 128 half of it.
  if (group < 128) limits.of_floor = 1.05;
  // Every 32 tokens read the weights.
  if (kernel == kQuatrainMediumRows) limits.reads = (tokens + 31) / 32;
  return Counted(
      std::string(kernel == kQuatrainFewRows ? "few_rows" : "medium_rows") +
          (num_digits == 1 ? "_int8" : ""),
      run.Shape(group), run.WeightBytes() + run.DigitBytes() + run.OutBytes(),
      run.Weights(), limits, [&] { run.Multiply(kernel); });
}

// Where blocks of threads share the k of the same outputs, the sums of each go
// to memory and back, a third of a floor as low as that of few outputs.
CounterLine CountSplit(int tokens, int rows, int cols) {
  LinearRun run(tokens, rows, cols, 128, 2);
  run.MakeDigits();
  const DeviceArray<unsigned char> scratch = ProductScratch(2);
  return Counted("medium_rows", run.Shape(128) + ", split",
                 run.WeightBytes() + run.DigitBytes() + run.OutBytes(),
                 run.Weights(), {.of_floor = 1.34},
                 [&] { run.MultiplySplit(scratch); });
}

// Conflicts: 2 per block of threads, block of k and token where digits are
// written, before the main loop.
CounterLine CountFused(int tokens, int rows, int cols, int num_digits,
                       uint64_t conflicts) {
  LinearRun run(tokens, rows, cols, 128, num_digits);
  return Counted(
      num_digits == 1 ? "fused_int8" : "fused_product", run.Shape(128),
      run.WeightBytes() + run.XBytes() + 4.0 * cols + run.OutBytes(),
      run.Weights(), {.conflicts = conflicts}, [&] { run.MultiplyFused(); });
}

// Halves are written for the library, which reads them uncounted, and its y is
// read; with a norm x and its weight are read three times, from cache.
CounterLine CountDequantized(int tokens, int rows, int cols) {
  LinearRun run(tokens, rows, cols, 128, 2);
  return Counted("dequant_product", run.Shape(128),
                 run.WeightBytes() + 2.0 * rows * cols + 1.5 * run.XBytes() +
                     4.0 * cols + 2 * run.OutBytes(),
                 run.Weights(), {}, [&] { run.Dequantize(); });
}

// Halves and corrections are written and read.
CounterLine CountHalf(int tokens, int rows, int cols, int group) {
  LinearRun run(tokens, rows, cols, group, 2);
  CounterLimits limits;
  const int block_tokens = cuda::half_tile::BlockTokens(
      cuda::PlanHalf(tokens, (rows + 15) / 16, NumSms()).col_tiles);
  limits.reads = (tokens + block_tokens - 1) / block_tokens;
  return Counted("half_product", run.Shape(group),
                 run.WeightBytes() + 2.0 * run.XBytes() +
                     tokens * (16.0 * run.linear.view().num_blocks + 12.0) +
                     run.OutBytes(),
                 run.Weights(), limits, [&] { run.MultiplyHalf(); });
}

// A norm reads x once more, before.
CounterLine CountDigits(int tokens, int cols, bool norm) {
  LinearRun run(tokens, 16, cols, 128, 2);
  return Counted(norm ? "norm_digits" : "digits", ShapeText(tokens, 0, cols),
                 run.XBytes() + run.DigitBytes() + tokens * 4.0 +
                     (norm ? 4.0 * cols : 0.0),
                 {run.x.data(), run.XBytes()}, {.reads = norm ? 2.0 : 1.0},
                 [&] { run.MakeDigits(norm); });
}

}  // namespace

std::vector<CounterLine> CountProducts() {
  std::vector<CounterLine> lines;
  for (const int tokens : {1, 4, 8, 16})
    for (const int cols : {4096, 11008})
      lines.push_back(
          CountProduct(tokens, 192, cols, 128, 2, kQuatrainFewRows));
  lines.push_back(CountProduct(1, 192, 28672, 128, 2, kQuatrainFewRows));
  lines.push_back(CountProduct(1, 192, 4096, 64, 2, kQuatrainFewRows));
  lines.push_back(CountProduct(16, 192, 4096, 128, 1, kQuatrainFewRows));
  lines.push_back(CountProduct(8, 192, 4096, 128, 1, kQuatrainFewRows));
  lines.push_back(CountFused(1, 192, 4096, 2, 512));
  lines.push_back(CountFused(4, 192, 4096, 2, 2048));
  lines.push_back(CountFused(8, 192, 4096, 1, 0));
  lines.push_back(CountProduct(32, 256, 1024, 128, 2, kQuatrainMediumRows));
  lines.push_back(CountProduct(64, 256, 1024, 64, 2, kQuatrainMediumRows));
  lines.push_back(CountProduct(64, 256, 1024, 128, 1, kQuatrainMediumRows));
  lines.push_back(CountSplit(32, 64, 4096));
  lines.push_back(CountDequantized(64, 256, 1024));
  lines.push_back(CountHalf(32, 256, 1024, 128));
  lines.push_back(CountHalf(64, 256, 1024, 64));
  lines.push_back(CountHalf(64, 512, 1024, 128));
  lines.push_back(CountDigits(1, 4096, false));
  lines.push_back(CountDigits(16, 8192, false));
  lines.push_back(CountDigits(1, 4096, true));
  return lines;
}

}  // namespace quatrain
