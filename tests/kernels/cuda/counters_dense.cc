// Counters of products with dense weights: the head, and what was not
// quantized.

#include "tests/kernels/cuda/counters_table.h"
#include "tests/kernels/cuda/dense_case.h"

namespace quatrain {
namespace {

const char* Name(QuatrainDType dtype) {
  return dtype == kQuatrainF16    ? "dense_f16"
         : dtype == kQuatrainBF16 ? "dense_bf16"
                                  : "dense_f32";
}

CounterLine CountProduct(int tokens, int rows, int cols, QuatrainDType dtype) {
  Random random(1);
  const HostDense host(rows, cols, dtype, BlockEnds(cols, 128), random);
  const DeviceDense linear(host);
  const DeviceArray<float> x(SomeFloats(static_cast<size_t>(tokens) * cols));
  const DeviceArray<float> out(static_cast<size_t>(tokens) * rows);
  const DeviceArray<int32_t> marks = DeviceArray<int32_t>(tokens).Cleared();
  const QuatrainDenseProduct op{
      linear.view,    x.data(), cols,       nullptr, tokens,
      kQuatrainStore, nullptr,  out.data(), rows,    marks.data()};
  const double weights = static_cast<double>(host.bytes.size());
  return Counted(
      Name(dtype), ShapeText(tokens, rows, cols),
      weights + 4.0 * tokens * (cols + rows),
      {linear.tiles.data(), static_cast<double>(linear.tiles.bytes())}, {},
      [&] { CudaOk(Cuda().dense_product(&op, nullptr), "dense"); });
}

}  // namespace

std::vector<CounterLine> CountDense() {
  std::vector<CounterLine> lines;
  for (const QuatrainDType dtype : {kQuatrainF16, kQuatrainBF16, kQuatrainF32})
    for (const int tokens : {1, 4, 8, 16})
      lines.push_back(CountProduct(tokens, 64, 4096, dtype));
  // As a head is: many rows, the last tile not whole.
  lines.push_back(CountProduct(1, 1000, 1024, kQuatrainF16));
  return lines;
}

}  // namespace quatrain
