// Counters of operations on whole rows of activations.

#include "tests/kernels/cuda/counters_table.h"
#include "tests/kernels/cuda/dense_case.h"

namespace quatrain {
namespace {

constexpr int kVocab = 200;

std::string RowsText(int tokens, int cols) {
  return "M " + std::to_string(tokens) + " K " + std::to_string(cols);
}

// Every row names another one of the table.
std::vector<int32_t> Ids(int tokens) {
  std::vector<int32_t> ids;
  for (int t = 0; t < tokens; ++t) ids.push_back(t * 37 % kVocab);
  return ids;
}

// The row is read again once its scale is known.
CounterLine CountRmsNorm(int tokens, int cols) {
  const double size = static_cast<double>(tokens) * cols;
  const DeviceArray<float> x(SomeFloats(static_cast<size_t>(size)));
  const DeviceArray<float> weight(SomeFloats(cols)), out(x.size());
  const QuatrainRmsNorm op{x.data(), cols, nullptr, weight.data(),
                           1e-5f,    cols, tokens,  out.data()};
  return Counted("rms_norm", RowsText(tokens, cols), 8 * size + 4.0 * cols,
                 {x.data(), 4 * size}, {.reads = 2.0},
                 [&] { CudaOk(Cuda().rms_norm(&op, nullptr), "rms_norm"); });
}

// Rows of an odd number of sums begin anywhere in a sector.
CounterLine CountReduceAdd(int tokens, int cols) {
  const size_t wide = static_cast<size_t>(tokens) * (cols + 1);
  const DeviceArray<int64_t> partial = DeviceArray<int64_t>(wide).Cleared();
  const DeviceArray<float> bias(SomeFloats(cols));
  const DeviceArray<float> residual(
      SomeFloats(static_cast<size_t>(tokens) * cols));
  const QuatrainReduceAdd op{partial.data(), bias.data(), cols, tokens,
                             residual.data()};
  return Counted(
      "reduce_add", RowsText(tokens, cols),
      static_cast<double>(partial.bytes() + bias.bytes()) +
          2.0 * static_cast<double>(residual.bytes()),
      {partial.data(), static_cast<double>(partial.bytes())}, {.reads = 1.11},
      [&] { CudaOk(Cuda().reduce_add(&op, nullptr), "reduce_add"); });
}

CounterLine CountGate(int tokens, int cols) {
  const double size = static_cast<double>(tokens) * cols;
  const DeviceArray<float> in(SomeFloats(static_cast<size_t>(2 * size)));
  const DeviceArray<float> out(static_cast<size_t>(size));
  const DeviceArray<int32_t> marks = DeviceArray<int32_t>(tokens).Cleared();
  const QuatrainGate op{in.data(), marks.data(), cols, tokens, out.data()};
  return Counted("gate", RowsText(tokens, cols), 12 * size + 4.0 * tokens,
                 {in.data(), 8 * size}, {},
                 [&] { CudaOk(Cuda().gate(&op, nullptr), "gate"); });
}

CounterLine CountStoreMarks(int tokens, int cols) {
  const size_t wide = static_cast<size_t>(tokens) * (cols + 1);
  const DeviceArray<int64_t> partial = DeviceArray<int64_t>(wide).Cleared();
  const DeviceArray<int32_t> marks = DeviceArray<int32_t>(tokens).Cleared();
  const QuatrainStoreMarks op{marks.data(), partial.data(), cols + 1, tokens};
  // A mark of 8 bytes is a sector of its own.
  return Counted(
      "store_marks", RowsText(tokens, cols), 4.0 * tokens + 32.0 * tokens,
      {marks.data(), static_cast<double>(marks.bytes())}, {},
      [&] { CudaOk(Cuda().store_marks(&op, nullptr), "store_marks"); });
}

// One row of the table and one of the output per token.
CounterLine CountEmbed(int tokens, int cols, bool is_tied) {
  Random random(4);
  const HostDense host(kVocab, cols, kQuatrainF16, BlockEnds(cols, 128),
                       random);
  const DeviceDense tied(host);
  const DeviceArray<unsigned char> table(host.bytes);
  const DeviceArray<int32_t> ids(Ids(tokens));
  const DeviceArray<float> out(static_cast<size_t>(tokens) * cols);
  const QuatrainEmbed plain{table.data(), kQuatrainF16, 0,      kVocab,
                            cols,         ids.data(),   tokens, out.data()};
  const QuatrainEmbedTied packed{tied.view, 0, ids.data(), tokens, out.data()};
  const double size = static_cast<double>(tokens) * cols;
  CounterLimits limits;
  // A row's chunk of 16 bytes in the packed table is half a sector.
  if (is_tied) limits = {.of_floor = 4.0 / 3.0 + 0.01, .reads = 2.0};
  return Counted(is_tied ? "embed_tied" : "embed", RowsText(tokens, cols),
                 6 * size + 4.0 * tokens,
                 {is_tied ? tied.tiles.data() : table.data(), 2 * size}, limits,
                 [&] {
                   if (is_tied)
                     CudaOk(Cuda().embed_tied(&packed, nullptr), "embed_tied");
                   else
                     CudaOk(Cuda().embed(&plain, nullptr), "embed");
                 });
}

}  // namespace

std::vector<CounterLine> CountRows() {
  return {CountRmsNorm(1, 4096),     CountRmsNorm(16, 4096),
          CountReduceAdd(1, 4096),   CountReduceAdd(16, 4096),
          CountGate(1, 11008),       CountGate(16, 2048),
          CountStoreMarks(16, 1024), CountEmbed(16, 4096, false),
          CountEmbed(16, 4096, true)};
}

}  // namespace quatrain
