#include <bit>

#include "kernels/math.h"
#include "tests/kernels/cuda/compare.h"
#include "tests/kernels/cuda/dense_case.h"

// Dense linears and the operations on whole rows, against the reference.
namespace quatrain {
namespace {

constexpr QuatrainDType kDenseDTypes[] = {kQuatrainF16, kQuatrainBF16,
                                          kQuatrainF32};

// f32 values as bits, for comparison.
std::vector<uint32_t> Bits(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (const float value : values)
    bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

struct DenseCase {
  int tokens, cols, rows;
  int head = 128;
  int output = kQuatrainStore;
  float x_scale = 1.0f;
};

std::vector<int64_t> ExpectedDense(const DenseCase& c, const HostDense& host,
                                   const std::vector<float>& x,
                                   const std::vector<float>& bias) {
  std::vector<int64_t> expected;
  const std::vector<ReferencePart> parts = {host.part()};
  for (int t = 0; t < c.tokens; ++t) {
    const std::span<const float> row(x.data() + t * c.cols, c.cols);
    std::vector<int64_t> sums(c.rows + 1);
    ReferenceSums(row, parts, Activations::kExact, sums);
    if (sums.back() != 0) std::fill(sums.begin(), sums.end(), 1);
    if (c.output == kQuatrainPartial) {
      expected.insert(expected.end(), sums.begin(), sums.end());
      continue;
    }
    std::vector<float> out(c.rows);
    ReferenceOutputs(row, parts, bias, Activations::kExact, out);
    for (const float value : out)
      expected.push_back(std::bit_cast<uint32_t>(value));
  }
  return expected;
}

std::vector<int64_t> RunDense(const DenseCase& c, const HostDense& host,
                              const std::vector<float>& x,
                              const std::vector<float>& host_bias) {
  const DeviceDense linear(host);
  const DeviceArray<float> device_x(x), bias(host_bias);
  DeviceArray<int32_t> marks = DeviceArray<int32_t>(c.tokens).Cleared();
  const bool partial = c.output == kQuatrainPartial;
  const int width = c.rows + (partial ? 1 : 0);
  const DeviceArray<int64_t> sums(partial ? c.tokens * width : 0);
  const DeviceArray<float> out(partial ? 0 : c.tokens * width);
  const QuatrainDenseProduct op{
      linear.view,
      device_x.data(),
      c.cols,
      nullptr,
      c.tokens,
      c.output,
      host_bias.empty() ? nullptr : bias.data(),
      partial ? static_cast<void*>(sums.data()) : out.data(),
      width,
      marks.data()};
  CudaOk(Cuda().dense_product(&op, nullptr), "dense_product");
  if (partial) {
    const QuatrainStoreMarks store{marks.data(), sums.data(), width, c.tokens};
    CudaOk(Cuda().store_marks(&store, nullptr), "store_marks");
  }
  std::vector<int64_t> result;
  if (partial) result = sums.Download();
  for (const float value : partial ? std::vector<float>() : out.Download())
    result.push_back(std::bit_cast<uint32_t>(value));
  const std::vector<int32_t> host_marks = marks.Download();
  for (int t = 0; t < c.tokens; ++t)
    if (host_marks[t] != 0)
      std::fill_n(result.begin() + t * width, width,
                  partial ? 1 : int64_t{kMarkedBits});
  return result;
}

void CheckDense(const DenseCase& c, QuatrainDType dtype, float bad = 0.0f) {
  Random random(2);
  const HostDense host(c.rows, c.cols, dtype, BlockEnds(c.cols, 128, c.head),
                       random);
  std::vector<float> x = RandomFloats(c.tokens * c.cols, random, c.x_scale);
  if (bad != 0.0f) x.back() = bad;
  std::vector<float> bias;
  if (c.output == kQuatrainStore) bias = RandomFloats(c.rows, random);
  EXPECT_SAME(RunDense(c, host, x, bias), ExpectedDense(c, host, x, bias),
              "T " + std::to_string(c.tokens) + " K " + std::to_string(c.cols) +
                  " N " + std::to_string(c.rows) + " dtype " +
                  std::to_string(dtype));
}

SIMT_TEST(DenseProducts) {
  for (const QuatrainDType dtype : kDenseDTypes) {
    CheckDense({1, 1, 1}, dtype);
    CheckDense({1, 128, 32}, dtype);
    CheckDense({2, 131, 33}, dtype);
    CheckDense({5, 300, 70, 80}, dtype);
    CheckDense({16, 257, 31, 128, kQuatrainPartial}, dtype);
    CheckDense({17, 96, 40, 72, kQuatrainPartial}, dtype);
    CheckDense({1, 4096, 37}, dtype);
    CheckDense({4, 1160, 65}, dtype);      // two tiles a warp, and a tail
    CheckDense({7, 1025, 129}, dtype);     // rows that begin anywhere
    CheckDense({8, 1050, 60, 90}, dtype);  // blocks that do
    CheckDense({12, 1152, 100, 72}, dtype);
  }
}

SIMT_TEST(DenseProductsMarkRows) {
  for (const float scale : {1e6f, 1e9f, 3e38f}) {
    CheckDense({3, 200, 33, 128, kQuatrainStore, scale}, kQuatrainF16);
    CheckDense({3, 200, 33, 128, kQuatrainPartial, scale}, kQuatrainBF16);
  }
  for (const float bad : {INFINITY, NAN})
    CheckDense({3, 200, 33}, kQuatrainF16, bad);
}

SIMT_TEST(DenseProductTakesTheMarksOfItsInput) {
  Random random(2);
  const HostDense host(33, 64, kQuatrainF16, BlockEnds(64, 128), random);
  const DeviceDense linear(host);
  const DeviceArray<float> x(RandomFloats(3 * 64, random)), out(3 * 33);
  const DeviceArray<int32_t> x_marks(std::vector<int32_t>{0, 1, 0});
  DeviceArray<int32_t> marks = DeviceArray<int32_t>(3).Cleared();
  const QuatrainDenseProduct op{
      linear.view, x.data(),   64, x_marks.data(), 3, kQuatrainStore,
      nullptr,     out.data(), 33, marks.data()};
  CudaOk(Cuda().dense_product(&op, nullptr), "dense_product");
  EXPECT_SAME(marks.Download(), (std::vector<int32_t>{0, 1, 0}), "marks");
}

SIMT_TEST(Embeddings) {
  Random random(4);
  for (const QuatrainDType dtype : kDenseDTypes) {
    const HostDense host(70, 130, dtype, BlockEnds(130, 128, 80), random);
    const std::vector<int32_t> ids = {-1, 99, 100, 101, 131, 169, 170, 100};
    const DeviceArray<int32_t> token_ids(ids);
    std::vector<float> expected;
    for (const int32_t id : ids)
      for (int d = 0; d < 130; ++d)
        expected.push_back(id >= 100 && id < 170
                               ? LoadAs(ToDType(dtype), host.bytes.data(),
                                        (id - 100) * 130 + d)
                               : 0.0f);
    const int tokens = static_cast<int>(ids.size());

    const DeviceArray<unsigned char> table(host.bytes);
    const DeviceArray<float> out(ids.size() * 130);
    const QuatrainEmbed embed{table.data(),     dtype,  100,       70, 130,
                              token_ids.data(), tokens, out.data()};
    CudaOk(Cuda().embed(&embed, nullptr), "embed");
    EXPECT_SAME(Bits(out.Download()), Bits(expected), "embed");

    const DeviceDense tied(host, 32);
    const DeviceArray<float> tied_out(ids.size() * 130);
    const QuatrainEmbedTied embed_tied{tied.view, 100, token_ids.data(), tokens,
                                       tied_out.data()};
    CudaOk(Cuda().embed_tied(&embed_tied, nullptr), "embed_tied");
    EXPECT_SAME(Bits(tied_out.Download()), Bits(expected), "embed_tied");
  }
}

SIMT_TEST(RmsNorms) {
  Random random(5);
  for (const int cols : {1, 31, 255, 256, 257, 700, 4096}) {
    const std::vector<float> x = RandomFloats(4 * cols, random);
    const std::vector<float> weight = RandomFloats(cols, random);
    const std::vector<int32_t> rows = {3, 0, 3};
    std::vector<float> expected(rows.size() * cols);
    for (size_t i = 0; i < rows.size(); ++i)
      ReferenceRmsNorm(std::span(x).subspan(rows[i] * cols, cols),
                       {weight, 1e-6f},
                       std::span(expected).subspan(i * cols, cols));
    const DeviceArray<float> device_x(x), device_weight(weight),
        out(expected.size());
    const DeviceArray<int32_t> device_rows(rows);
    const QuatrainRmsNorm op{device_x.data(),
                             cols,
                             device_rows.data(),
                             device_weight.data(),
                             1e-6f,
                             cols,
                             3,
                             out.data()};
    CudaOk(Cuda().rms_norm(&op, nullptr), "rms_norm");
    EXPECT_SAME(Bits(out.Download()), Bits(expected),
                "cols " + std::to_string(cols));
  }
}

SIMT_TEST(SumsBecomeTheResidual) {
  Random random(6);
  const int tokens = 3, cols = 300;
  std::vector<int64_t> partial;
  for (int i = 0; i < tokens * (cols + 1); ++i)
    partial.push_back(static_cast<int64_t>(
        (uint64_t{random.Bits()} << 32 | random.Bits()) >> random.Int(0, 40)));
  for (int t = 0; t < tokens; ++t)
    partial[t * (cols + 1) + cols] = t == 1 ? 2 : 0;
  for (const bool with_bias : {false, true}) {
    const std::vector<float> bias = RandomFloats(cols, random);
    std::vector<float> expected = RandomFloats(tokens * cols, random);
    expected[5] = NAN;
    const DeviceArray<float> residual(expected), device_bias(bias);
    const DeviceArray<int64_t> device_partial(partial);
    for (int t = 0; t < tokens; ++t)
      for (int d = 0; d < cols; ++d) {
        float y = FromFixed(partial[t * (cols + 1) + d]);
        if (with_bias) y = y + bias[d];
        float& to = expected[t * cols + d];
        to = to + y;
        if (t == 1 || to != to) to = MarkedValue();
      }
    const QuatrainReduceAdd op{device_partial.data(),
                               with_bias ? device_bias.data() : nullptr, cols,
                               tokens, residual.data()};
    CudaOk(Cuda().reduce_add(&op, nullptr), "reduce_add");
    EXPECT_SAME(Bits(residual.Download()), Bits(expected), "residual");
  }
}

SIMT_TEST(GateOfPlainOutputs) {
  Random random(7);
  const int tokens = 3, cols = 270;
  std::vector<float> gate_up = RandomFloats(tokens * 2 * cols, random, 4.0f);
  gate_up[0] = -200.0f;
  gate_up[1] = 200.0f;
  gate_up[2] = -INFINITY;
  std::vector<float> expected;
  for (int t = 0; t < tokens; ++t)
    for (int d = 0; d < cols; ++d) {
      const float* row = gate_up.data() + t * 2 * cols;
      const float y = Silu(row[d]) * row[cols + d];
      expected.push_back(t == 2 || y != y ? MarkedValue() : y);
    }
  const DeviceArray<float> in(gate_up), out(expected.size());
  const DeviceArray<int32_t> marks(std::vector<int32_t>{0, 0, 1});
  const QuatrainGate op{in.data(), marks.data(), cols, tokens, out.data()};
  CudaOk(Cuda().gate(&op, nullptr), "gate");
  EXPECT_SAME(Bits(out.Download()), Bits(expected), "gate");
}

SIMT_TEST(GraphsReplayWithNewInputs) {
  Random random(8);
  const int cols = 260;
  const std::vector<float> weight = RandomFloats(cols, random);
  const DeviceArray<float> x(RandomFloats(cols, random)), device_weight(weight),
      out(cols);
  QuatrainStream stream;
  CudaOk(Cuda().stream_create(&stream), "stream_create");
  CudaOk(Cuda().capture_begin(stream), "capture_begin");
  const QuatrainRmsNorm op{x.data(), cols, nullptr, device_weight.data(),
                           1e-6f,    cols, 1,       out.data()};
  CudaOk(Cuda().rms_norm(&op, stream), "rms_norm");
  QuatrainGraph graph;
  CudaOk(Cuda().capture_end(stream, &graph), "capture_end");
  for (int i = 0; i < 2; ++i) {
    const std::vector<float> values = RandomFloats(cols, random);
    CudaOk(Cuda().copy(x.data(), values.data(), x.bytes(), stream), "copy");
    CudaOk(Cuda().graph_launch(graph, stream), "graph_launch");
    CudaOk(Cuda().stream_synchronize(stream), "stream_synchronize");
    std::vector<float> expected(cols);
    ReferenceRmsNorm(values, {weight, 1e-6f}, expected);
    EXPECT_SAME(Bits(out.Download()), Bits(expected), "replay");
  }
  CudaOk(Cuda().graph_destroy(graph), "graph_destroy");
  CudaOk(Cuda().stream_destroy(stream), "stream_destroy");
}

}  // namespace
}  // namespace quatrain
