#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/cpu/int4_panel.h"
#include "kernels/cpu/row_plan.h"
#include "kernels/exact_sum.h"
#include "kernels/record_size.h"
#include "tests/kernels/cpu_cases.h"

// Products of the CPU backend against the reference, bit for bit.
namespace quatrain {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// What one call of Project is given.
struct ProjectCase {
  LogicalLinear linear;
  LinearRole role = LinearRole::kQkv;
  const Norm* norm = nullptr;
  int rows = 1;
  std::vector<float> x;  // [rows, cols]
};

int OutputCols(const ProjectCase& c) {
  int outputs = 0;
  for (const LogicalPart& part : c.linear.parts) outputs += part.rows;
  if (c.role == LinearRole::kGateUp) return outputs / 2;
  return c.role == LinearRole::kQkv ? outputs : outputs + 1;
}

// The bits of the output; the sums of a marked row are unspecified, so 0.
std::vector<uint64_t> Bits(const ProjectCase& c, Backend& backend) {
  auto linear = backend.PackLinear(c.linear, c.role);
  EXPECT_TRUE(linear.ok()) << linear.status();
  HostMatrix<float> x(c.rows, c.linear.cols,
                      {c.x.begin(), c.x.begin() + c.rows * c.linear.cols});
  const int cols = OutputCols(c);
  std::vector<uint64_t> bits;
  if (c.role == LinearRole::kQkv || c.role == LinearRole::kGateUp) {
    HostMatrix<float> out(c.rows, cols);
    backend.Project(x.view(), c.norm, **linear, out.view());
    for (const float v : out.values())
      bits.push_back(std::bit_cast<uint32_t>(v));
    return bits;
  }
  HostMatrix<int64_t> out(c.rows, cols);
  backend.Project(x.view(), c.norm, **linear, out.view());
  for (int r = 0; r < c.rows; ++r)
    for (const int64_t v : out.row(r))
      bits.push_back(out.row(r).back() != 0 ? out.row(r).back() : v);
  return bits;
}

void ExpectEqualToReference(const ProjectCase& c, const std::string& what,
                            Activations activations = Activations::kExact) {
  BackendOptions options = TestOptions();
  options.activations = activations;
  const std::vector<uint64_t> want = Bits(c, *MakeReference(options));
  for (const CpuCase& cpu : CpuCases())
    EXPECT_TRUE(SameBits(Bits(c, *MakeCpu(cpu, options)), want))
        << what << ", " << cpu.name();
}

// Activations of several magnitudes: plain, an outlier, a zero block,
// subnormals, and the boundary below which digits are 0.
std::vector<float> HardRows(int rows, int cols, Random& random) {
  std::vector<float> x = random.Normals(size_t(rows) * cols, 2.0f);
  for (int r = 0; r < rows; ++r) {
    float* row = x.data() + size_t(r) * cols;
    if (r % 5 == 1) row[random.Int(0, cols - 1)] = 3000.0f;
    if (r % 5 == 2) std::fill_n(row, std::min(cols, 128), 0.0f);
    if (r % 5 == 3)
      for (int k = 0; k < std::min(cols, 128); ++k) row[k] *= 1e-39f;
    if (r % 5 == 4)
      for (int k = 0; k < std::min(cols, 128); ++k) row[k] *= 2e-34f;
  }
  return x;
}

TEST(CpuProjectTest, Int4OfEveryShape) {
  Random random(1);
  struct Shape {
    int outputs, cols, group;
  };
  for (const Shape& s : {
           Shape{1, 1, 128},       // the smallest
           Shape{1, 128, 128},     // one output
           Shape{17, 136, 128},    // a tile and one output, a block of 8
           Shape{16, 131, 128},    // a prime number of inputs
           Shape{31, 256, 32},     // groups of 32
           Shape{48, 320, 64},     // groups of 64
           Shape{33, 700, 100},    // blocks of 100, 28, 72, 56, ..
           Shape{100, 1237, 128},  // ten blocks, the last odd
           Shape{256, 1376, 128},  // a slice of Llama-2-7B's down
       }) {
    const HostInt4 host(s.outputs, s.cols, BlockEnds(s.cols, s.group), 0.02f,
                        random);
    for (const int rows : {1, 2, 3, 5, 8, 11}) {
      ExpectEqualToReference(
          {.linear = {.cols = s.cols, .parts = {host.part()}},
           .role = LinearRole::kO,
           .rows = rows,
           .x = HardRows(rows, s.cols, random)},
          std::to_string(s.outputs) + "x" + std::to_string(s.cols) + " rows " +
              std::to_string(rows));
    }
  }
}

TEST(CpuProjectTest, Int4WithScalesOfAnyDType) {
  Random random(22);
  const int cols = 1000;  // eight blocks, two headers
  const HostInt4 some(37, cols, BlockEnds(cols, 128), 0.02f, random);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    const HostInt4 host = some.WithScales(dtype);
    for (const int rows : {1, 4, 9})
      ExpectEqualToReference({.linear = {.cols = cols, .parts = {host.part()}},
                              .rows = rows,
                              .x = HardRows(rows, cols, random)},
                             std::string(Name(dtype)) + " scales");
  }
}

TEST(CpuProjectTest, Int4WithOneDigit) {
  Random random(23);
  const int cols = 700;
  const HostInt4 host(40, cols, BlockEnds(cols, 100), 0.02f, random);
  std::vector<int> counts = {18, 33, 65};
  for (int rows = 1; rows <= 17; ++rows) counts.push_back(rows);
  for (const int rows : counts) {
    const ProjectCase c = {.linear = {.cols = cols, .parts = {host.part()}},
                           .role = LinearRole::kO,
                           .rows = rows,
                           .x = HardRows(rows, cols, random)};
    ExpectEqualToReference(c, std::to_string(rows) + " rows",
                           Activations::kInt8);
    // It is another result, not another name for the same one.
    BackendOptions int8 = TestOptions();
    int8.activations = Activations::kInt8;
    EXPECT_FALSE(
        SameBits(Bits(c, *MakeReference(int8)), Bits(c, *MakeReference())));
  }
}

TEST(CpuProjectTest, Int4OfManyRows) {
  Random random(2);
  const int cols = 264;
  const HostInt4 host(49, cols, BlockEnds(cols, 128), 0.02f, random);
  std::vector<int> counts = {33, 64, 65, 257};
  for (int rows = 1; rows <= 20; ++rows) counts.push_back(rows);
  for (const int rows : counts)
    ExpectEqualToReference({.linear = {.cols = cols, .parts = {host.part()}},
                            .rows = rows,
                            .x = HardRows(rows, cols, random)},
                           std::to_string(rows) + " rows");
}

// Both kinds of linear, `outputs` of `cols` inputs, with these numbers of rows.
void ExpectBothKindsEqual(int outputs, int cols,
                          std::initializer_list<int> rows, Random& random) {
  const std::vector<int> ends = BlockEnds(cols, 128);
  const HostInt4 int4(outputs, cols, ends, 0.02f, random);
  const HostDense dense(outputs, cols, DType::kF16, ends, 0.1f, random);
  for (const int count : rows) {
    const std::vector<float> x = HardRows(count, cols, random);
    for (const LogicalPart& part : {int4.part(), dense.part()})
      ExpectEqualToReference({.linear = {.cols = cols, .parts = {part}},
                              .role = LinearRole::kO,
                              .rows = count,
                              .x = x},
                             std::string(part.is_int4 ? "int4" : "dense") +
                                 " K " + std::to_string(cols) + " rows " +
                                 std::to_string(count));
  }
}

// Row counts up to 600, with both sides of every one at which chunks, passes,
// units of matrix tiles or the choice between them change.
std::vector<int> RowCounts(const std::string& isa, int num_digits) {
  const RowCosts& costs = RowCostsOf(*ChooseIsa(isa), num_digits);
  std::vector<int> counts;
  RowPlan before;
  for (int rows = 1; rows <= 600; ++rows) {
    const RowPlan plan = PlanRows(costs, rows, UnitRows(num_digits));
    const bool changes = plan.by_panel != before.by_panel ||
                         plan.rows_per_pass != before.rows_per_pass;
    const int past = rows % 64;
    if (rows <= 34 || rows == 600 || past == 63 || past <= 1 ||
        (rows < 130 && (changes || rows % 16 <= 1))) {
      if (changes && counts.back() != rows - 1) counts.push_back(rows - 1);
      counts.push_back(rows);
    }
    before = plan;
  }
  return counts;
}

// An int4 and a dense part together. Rows do not depend on each other, so the
// reference computes all of them once.
TEST(CpuProjectTest, UpTo600RowsByEveryInstructionSetOnAnyNumberOfThreads) {
  Random random(25);
  const int cols = 200, most = 600;
  const std::vector<int> ends = BlockEnds(cols, 128);
  const HostInt4 int4(37, cols, ends, 0.02f, random);
  const HostDense dense(5, cols, DType::kF16, ends, 0.1f, random);
  ProjectCase c = {
      .linear = {.cols = cols, .parts = {int4.part(), dense.part()}},
      .role = LinearRole::kO,
      .rows = most,
      .x = HardRows(most, cols, random)};
  const size_t width = OutputCols(c);
  for (const Activations activations :
       {Activations::kExact, Activations::kInt8}) {
    BackendOptions options = TestOptions();
    options.activations = activations;
    c.rows = most;
    const std::vector<uint64_t> all = Bits(c, *MakeReference(options));
    for (const std::string& isa : AvailableIsas()) {
      for (const int threads : {1, 2, 3, 8}) {
        const auto backend = MakeCpu({isa, threads}, options);
        const int digits = activations == Activations::kInt8 ? 1 : 2;
        for (const int rows : RowCounts(isa, digits)) {
          c.rows = rows;
          const std::vector<uint64_t> want(all.begin(),
                                           all.begin() + rows * width);
          ASSERT_TRUE(SameBits(Bits(c, *backend), want))
              << isa << " x " << threads << ", " << rows << " rows";
        }
      }
    }
  }
}

TEST(CpuProjectTest, ThousandsOfRows) {
  Random random(23);
  ExpectBothKindsEqual(21, 136, {2049}, random);
}

// Slices of real layers: two tiles of 16 outputs and a tail of 5.
TEST(CpuProjectTest, InputsOfRealLayers) {
  Random random(24);
  for (const int cols : {4096,    // Llama-2-7B, Llama-3-8B
                         8192,    // Llama-3-70B
                         11008,   // down of Llama-2-7B
                         18944,   // down of Qwen2.5-7B
                         29568})  // down of Qwen2-72B: 231 groups
    ExpectBothKindsEqual(2 * 16 + 5, cols, {1, 3, 17}, random);
}

TEST(CpuProjectTest, Int4OfExtremeDigits) {
  Random random(3);
  const int cols = 256;
  HostInt4 host(16, cols, BlockEnds(cols, 128), 0.02f, random);
  for (int n = 0; n < 8; ++n) {  // the largest sums: 128 * 15 * 32639
    std::fill_n(host.q().begin() + n * cols, cols, n % 2 ? 15 : 0);
    host.z()[2 * n] = host.z()[2 * n + 1] = n % 2 ? 0 : 15;
  }
  for (const int rows : {2, 20}) {
    std::vector<float> x(rows * cols, 1.0f);
    for (int i = 0; i < rows * cols; ++i)
      if (i / cols % 2 == 1 && i % 2 == 0) x[i] = -1.0f;
    ExpectEqualToReference({.linear = {.cols = cols, .parts = {host.part()}},
                            .rows = rows,
                            .x = x},
                           "extreme digits");
  }
}

TEST(CpuProjectTest, DenseOfEveryShape) {
  Random random(4);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    for (const auto& [outputs, cols] :
         {std::pair{1, 1}, {17, 127}, {33, 300}, {128, 512}}) {
      const HostDense host(outputs, cols, dtype, BlockEnds(cols, 128), 0.1f,
                           random);
      for (const int rows : {1, 2, 3, 4, 6, 8, 13, 65})
        ExpectEqualToReference(
            {.linear = {.cols = cols, .parts = {host.part()}},
             .role = LinearRole::kDown,
             .rows = rows,
             .x = HardRows(rows, cols, random)},
            std::string(Name(dtype)) + " " + std::to_string(outputs) + "x" +
                std::to_string(cols) + " rows " + std::to_string(rows));
    }
  }
}

TEST(CpuProjectTest, NormAndBiasAndPartsOfDifferentKinds) {
  Random random(5);
  const int cols = 300;
  const Norm norm{.weight = random.Normals(cols), .eps = 1e-5f};
  const HostInt4 q(40, cols, BlockEnds(cols, 128), 0.02f, random);
  const HostDense k(17, cols, DType::kF16, BlockEnds(cols, 128), 0.1f, random);
  const HostInt4 v(17, cols, BlockEnds(cols, 32), 0.02f, random);
  const LogicalLinear linear{.cols = cols,
                             .parts = {q.part(), k.part(), v.part()},
                             .bias = random.Normals(74)};
  for (const int rows : {1, 9, 70}) {
    const std::vector<float> x = random.Normals(rows * cols, 3.0f);
    ExpectEqualToReference(
        {.linear = linear, .norm = &norm, .rows = rows, .x = x}, "norm");
    ExpectEqualToReference({.linear = linear, .rows = rows, .x = x}, "none");
  }
}

TEST(CpuProjectTest, GateAndUp) {
  Random random(6);
  const int cols = 160;
  for (const int half : {1, 16, 37}) {
    const HostInt4 gate(half, cols, BlockEnds(cols, 128), 0.05f, random);
    const HostInt4 up(half, cols, BlockEnds(cols, 128), 0.02f, random);
    const HostDense dense_up(half, cols, DType::kBF16, BlockEnds(cols, 128),
                             0.1f, random);
    const Norm norm{.weight = random.Normals(cols), .eps = 1e-6f};
    for (const int rows : {1, 10, 130}) {
      const std::vector<float> x = HardRows(rows, cols, random);
      for (const LogicalPart& second : {up.part(), dense_up.part()})
        ExpectEqualToReference({.linear = {.cols = cols,
                                           .parts = {gate.part(), second},
                                           .bias = random.Normals(2 * half)},
                                .role = LinearRole::kGateUp,
                                .norm = &norm,
                                .rows = rows,
                                .x = x},
                               "half " + std::to_string(half));
    }
  }
}

TEST(CpuProjectTest, MarksRowsThatAreNotFinite) {
  Random random(7);
  const int cols = 260;
  HostInt4 int4(20, cols, BlockEnds(cols, 128), 0.02f, random);
  int4.s()[3] = 1e30f;  // its contributions are too large
  HostInt4 plain(20, cols, BlockEnds(cols, 128), 0.02f, random);
  const HostDense dense(20, cols, DType::kF32, BlockEnds(cols, 128), 0.1f,
                        random);
  for (const LinearRole role :
       {LinearRole::kQkv, LinearRole::kO, LinearRole::kGateUp}) {
    for (const LogicalPart& part : {int4.part(), plain.part(), dense.part()}) {
      for (const int rows : {1, 7, 19, 40}) {
        std::vector<float> x = random.Normals(rows * cols);
        for (int r = 0; r < rows; ++r) {
          float* row = x.data() + r * cols;
          if (r % 6 == 0) row[random.Int(0, cols - 1)] = kInf;
          if (r % 6 == 1) row[random.Int(0, cols - 1)] = kNan;
          if (r % 6 == 2) row[random.Int(0, cols - 1)] = 3e38f;
          if (r % 6 == 3) row[259] = -1e8f;
        }
        for (const Activations activations :
             {Activations::kExact, Activations::kInt8})
          ExpectEqualToReference({.linear = {.cols = cols, .parts = {part}},
                                  .role = role,
                                  .rows = rows,
                                  .x = x},
                                 "marks, rows " + std::to_string(rows),
                                 activations);
      }
    }
  }
}

// Around 2^23, where a contribution stops to fit.
TEST(CpuProjectTest, MarksExactlyWhatDoesNotFit) {
  HostInt4 host(16, 128, {128});
  for (int n = 0; n < 16; ++n) {
    std::fill_n(host.q().begin() + n * 128, 128, 15);
    host.s()[n] = 1.0f;
  }
  for (const float x : {4368.0f, 4369.0f, 4369.06f, 4369.07f, 4370.0f, 5000.0f})
    for (const int rows : {1, 20})
      ExpectEqualToReference({.linear = {.cols = 128, .parts = {host.part()}},
                              .role = LinearRole::kO,
                              .rows = rows,
                              .x = std::vector<float>(rows * 128, x)},
                             "x " + std::to_string(x));
}

// Scales of any size: none, subnormal, and up to where matrix tiles give up.
TEST(CpuProjectTest, ScalesFromZeroToTheLargest) {
  Random random(26);
  const int cols = 260;
  for (const float scale : {0.0f, 1e-40f, 1e-33f, 0x1.fffffep99f, 0x1p100f}) {
    HostInt4 host = HostInt4(20, cols, BlockEnds(cols, 128), 0.02f, random)
                        .WithScales(DType::kF32);
    std::fill(host.s().begin(), host.s().end(), scale);
    for (const float x : {3e38f, 1.0f, 1e-25f, 1e-36f}) {
      std::vector<float> values = random.Normals(20 * cols);
      for (float& value : values) value = std::copysign(x, value);
      for (const int rows : {3, 20})
        ExpectEqualToReference(
            {.linear = {.cols = cols, .parts = {host.part()}},
             .role = LinearRole::kO,
             .rows = rows,
             .x = {values.begin(), values.begin() + rows * cols}},
            "scale " + std::to_string(scale) + " x " + std::to_string(x));
    }
  }
}

// Short blocks need more room for digits than a chunk of the usual kind has.
TEST(CpuProjectTest, ChunksThatTheScratchMemoryCutsShort) {
  Random random(27);
  for (const int group : {16, 32}) {
    const int cols = 2512;
    const HostInt4 host(21, cols, BlockEnds(cols, group), 0.02f, random);
    ExpectEqualToReference({.linear = {.cols = cols, .parts = {host.part()}},
                            .rows = 128,
                            .x = HardRows(128, cols, random)},
                           "groups of " + std::to_string(group));
  }
}

TEST(CpuProjectTest, ARankWithoutAPart) {
  Random random(8);
  const HostInt4 host(16, 128, {128}, 0.02f, random);
  for (const CpuCase& cpu : CpuCases()) {
    const auto backend = MakeCpu(cpu);
    auto none = backend->PackLinear({.cols = 0, .parts = {{.rows = 24}}},
                                    LinearRole::kO);
    ASSERT_TRUE(none.ok());
    HostMatrix<float> x(3, 0);
    HostMatrix<int64_t> out(3, 25, std::vector<int64_t>(75, 7));
    backend->Project(x.view(), nullptr, **none, out.view());
    EXPECT_EQ(out.values(), std::vector<int64_t>(75));
    auto empty = backend->PackLinear({.cols = 128}, LinearRole::kGateUp);
    HostMatrix<float> in(3, 128);
    HostMatrix<float> nothing(3, 0);
    backend->Project(in.view(), nullptr, **empty, nothing.view());
  }
}

TEST(CpuProjectTest, AllocatesExactlyWhatRecordSizeSays) {
  Random random(9);
  const int cols = 700;
  const std::vector<int> ends = BlockEnds(cols, 100);
  const HostInt4 int4(33, cols, ends, 0.02f, random);
  const HostDense dense(20, cols, DType::kF16, BlockEnds(cols, 128), 0.1f,
                        random);
  BackendOptions options = TestOptions();
  const auto backend = MakeCpu({AvailableIsas().back(), 2}, options);
  auto linear = backend->PackLinear(
      {.cols = cols, .parts = {int4.part(), dense.part()}}, LinearRole::kQkv);
  ASSERT_TRUE(linear.ok());
  auto used = backend->memory().used_bytes_by_tag();
  EXPECT_EQ(used["weights"], Int4RecordBytes(33, ends, DType::kF16) +
                                 DenseRecordBytes(20, cols, DType::kF16));
  EXPECT_EQ(used["runtime"],
            ScratchBytes(options.max_tokens, {.input = cols}, 2));
  auto gate_up = backend->PackLinear(
      {.cols = cols, .parts = {int4.part(), int4.part()}}, LinearRole::kGateUp);
  ASSERT_TRUE(gate_up.ok());
  EXPECT_EQ(
      backend->memory().used_bytes_by_tag()["runtime"],
      ScratchBytes(options.max_tokens, {.input = cols, .gate_up = 66}, 2));
}

TEST(CpuProjectTest, ReportsTheReadersErrorAndTheBudget) {
  class Broken : public HostInt4 {
   public:
    using HostInt4::HostInt4;
    absl::Status ReadInt4(int, int, int, int, uint8_t*, uint8_t*,
                          float*) const override {
      return absl::DataLossError("a torn file");
    }
  };
  const Broken broken(64, 128, {128});
  LogicalPart part = broken.part();
  part.reader = &broken;
  BackendOptions options = TestOptions();
  auto status = MakeCpu({AvailableIsas()[0], 2})
                    ->PackLinear({.cols = 128, .parts = {part}}, LinearRole::kO)
                    .status();
  EXPECT_EQ(status.message(), "a torn file");
  options.memory_limit_bytes = 1000;
  status = MakeCpu({AvailableIsas()[0], 2}, options)
               ->PackLinear({.cols = 128, .parts = {part}}, LinearRole::kO)
               .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace quatrain
