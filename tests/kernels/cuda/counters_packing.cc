// Counters of what runs once per weight, at load: a lane reads its outputs' k
// one after the other, sectors that stay in the first-level cache.

#include "tests/kernels/cuda/counters_table.h"
#include "tests/kernels/cuda/dense_case.h"

namespace quatrain {
namespace {

// A slab as a checkpoint gives it: [k][rows] bytes, 0..15.
CounterLine CountInt4(int rows, int cols) {
  const std::vector<int32_t> ends = BlockEnds(cols, 128);
  const int blocks = static_cast<int>(ends.size());
  const DeviceInt4 linear(rows, cols, ends, kQuatrainF16);
  const size_t groups = static_cast<size_t>(blocks) * rows;
  const DeviceArray<uint8_t> q =
      DeviceArray<uint8_t>(static_cast<size_t>(rows) * cols).Cleared();
  const DeviceArray<uint8_t> z = DeviceArray<uint8_t>(groups).Cleared();
  const DeviceArray<float> s = DeviceArray<float>(groups).Cleared();
  const QuatrainPackInt4 op{linear.view(),
                            const_cast<unsigned char*>(linear.tiles()),
                            0,
                            rows,
                            0,
                            blocks,
                            0,
                            q.data(),
                            z.data(),
                            s.data(),
                            0};
  return Counted("pack_int4", ShapeText(0, rows, cols),
                 static_cast<double>(q.bytes() + z.bytes() + s.bytes() +
                                     linear.weight_bytes()),
                 {q.data(), static_cast<double>(q.bytes())}, {.reads = 4.0},
                 [&] { CudaOk(Cuda().pack_int4(&op, nullptr), "pack_int4"); });
}

CounterLine CountDense(int rows, int cols, QuatrainDType dtype) {
  Random random(1);
  const HostDense host(rows, cols, dtype, BlockEnds(cols, 128), random);
  const DeviceDense linear(host);
  const DeviceArray<unsigned char> from(host.bytes);
  return Counted(dtype == kQuatrainF32 ? "pack_dense_f32" : "pack_dense_f16",
                 ShapeText(0, rows, cols),
                 static_cast<double>(from.bytes() + linear.tiles.bytes()),
                 {from.data(), static_cast<double>(from.bytes())},
                 {.reads = dtype == kQuatrainF32 ? 8.0 : 16.0}, [&] {
                   CudaOk(Cuda().pack_dense(&linear.view, linear.tiles.data(),
                                            from.data(), 0, rows, nullptr),
                          "pack_dense");
                 });
}

}  // namespace

std::vector<CounterLine> CountPacking() {
  return {CountInt4(256, 1024), CountDense(64, 1024, kQuatrainF16),
          CountDense(64, 1024, kQuatrainF32)};
}

}  // namespace quatrain
