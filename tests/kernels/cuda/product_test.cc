#include <bit>
#include <cstring>

#include "kernels/cuda/int4_medium_plan.h"
#include "kernels/math.h"
#include "tests/kernels/cuda/compare.h"
#include "tests/kernels/cuda/linear_case.h"

// The exact products of int4 weights, from logical weights and f32 activations
// to outputs, against the reference: the same bits.
namespace quatrain {
namespace {

// Digits and product in one kernel; not a QuatrainProductKernel.
constexpr int kFused = -1;
// kQuatrainMediumRows with scratch, so that blocks of threads may share the k
// of some outputs.
constexpr int kSplit = -2;

struct Case {
  int tokens;
  int cols;
  int rows;
  int group = 128;
  int head = 128;
  int output = kQuatrainStore;
  int digits = 2;
  QuatrainDType scales = kQuatrainF16;
  bool bias = false;
  bool norm = false;
  float x_scale = 1.0f;
  float w_scale = 0.01f;
  int first = 0;  // absolute k of the first column
};

std::string Describe(const Case& c, int kernel) {
  return "T " + std::to_string(c.tokens) + " K " + std::to_string(c.cols) +
         " N " + std::to_string(c.rows) + " group " + std::to_string(c.group) +
         " head " + std::to_string(c.head) + " output " +
         std::to_string(c.output) + " digits " + std::to_string(c.digits) +
         " scales " + std::to_string(c.scales) + " kernel " +
         std::to_string(kernel);
}

Activations ActivationsOf(const Case& c) {
  return c.digits == 2 ? Activations::kExact : Activations::kInt8;
}

// Inputs with what products find hard: an outlier, a zero block, tiny values.
std::vector<float> MakeX(const Case& c, Random& random) {
  std::vector<float> x(static_cast<size_t>(c.tokens) * c.cols);
  for (float& value : x) value = random.Bell() * c.x_scale;
  for (int t = 0; t < c.tokens; ++t) {
    float* row = x.data() + static_cast<size_t>(t) * c.cols;
    row[random.Int(0, c.cols - 1)] *= 50.0f;
    if (t % 3 == 1)
      for (int k = 0; k < std::min(c.cols, 128); ++k) row[k] = 0.0f;
    if (t % 5 == 2)
      for (int k = 0; k < std::min(c.cols, 128); ++k) row[k] *= 1e-42f;
  }
  return x;
}

// One linear, its input and what the reference says, before the marks.
struct Setup {
  Case c;
  std::vector<HostInt4> parts;
  std::vector<float> x, bias, norm_weight;
  std::vector<float> normed;

  explicit Setup(const Case& of, uint64_t seed = 1) : c(of) {
    Random random(seed);
    const int num_parts = c.output == kQuatrainGated ? 2 : 1;
    for (int p = 0; p < num_parts; ++p)
      parts.emplace_back(c.rows / num_parts, c.cols,
                         BlockEnds(c.cols, c.group, c.head, c.first), c.scales,
                         c.w_scale, random);
    x = MakeX(c, random);
    if (c.bias)
      for (int n = 0; n < c.rows; ++n) bias.push_back(random.Bell());
    if (c.norm)
      for (int k = 0; k < c.cols; ++k)
        norm_weight.push_back(random.Uniform(0.5f, 1.5f));
  }

  std::span<const float> Row(int t) const {
    return {x.data() + static_cast<size_t>(t) * c.cols,
            static_cast<size_t>(c.cols)};
  }

  // [tokens][width] of outputs as 64 bits each.
  std::vector<int64_t> Expected() {
    std::vector<int64_t> expected;
    std::vector<ReferencePart> references;
    for (const HostInt4& part : parts) references.push_back(part.part());
    for (int t = 0; t < c.tokens; ++t) {
      std::span<const float> row = Row(t);
      if (c.norm) {
        normed.resize(c.cols);
        ReferenceRmsNorm(row, {norm_weight, 1e-5f}, normed);
        row = normed;
      }
      Append(row, references, expected);
    }
    return expected;
  }

  void Append(std::span<const float> row,
              const std::vector<ReferencePart>& references,
              std::vector<int64_t>& expected) const {
    if (c.output == kQuatrainPartial) {
      std::vector<int64_t> sums(c.rows + 1);
      ReferenceSums(row, references, ActivationsOf(c), sums);
      if (sums.back() != 0) std::fill(sums.begin(), sums.end(), 1);
      expected.insert(expected.end(), sums.begin(), sums.end());
      return;
    }
    std::vector<float> out(c.rows);
    ReferenceOutputs(row, references, bias, ActivationsOf(c), out);
    if (c.output == kQuatrainGated) {
      const int half = c.rows / 2;
      for (int i = 0; i < half; ++i) {
        const float gate = out[i];
        // Silu as the definition has it; checked by math_test.
        out[i] = GatedOf(gate, out[half + i]);
      }
      out.resize(half);
    }
    for (const float value : out)
      expected.push_back(std::bit_cast<uint32_t>(value));
  }

  static float GatedOf(float gate, float up);
};

float Setup::GatedOf(float gate, float up) {
  const float y = Silu(gate) * up;
  return y != y ? MarkedValue() : y;
}

// As the tiles lie: gate and up 8 by 8.
std::vector<float> TileOrder(const Case& c, const std::vector<float>& bias) {
  if (c.output != kQuatrainGated || bias.empty()) return bias;
  std::vector<float> ordered((c.rows + 15) / 16 * 16, 0.0f);
  for (int i = 0; i < c.rows / 2; ++i) {
    ordered[i / 8 * 16 + i % 8] = bias[i];
    ordered[i / 8 * 16 + i % 8 + 8] = bias[c.rows / 2 + i];
  }
  return ordered;
}

DeviceInt4 PackAll(const Setup& setup) {
  DeviceInt4 linear(setup.c.rows, setup.c.cols, setup.parts[0].ends,
                    setup.c.scales);
  for (size_t p = 0; p < setup.parts.size(); ++p)
    linear.Pack(setup.parts[p],
                setup.parts.size() == 2 ? static_cast<int>(p) + 1 : 0);
  return linear;
}

// Outputs as 64 bits each, where a marked row is all NaN (partial sums: 1).
std::vector<int64_t> Run(const Setup& setup, int kernel) {
  const Case& c = setup.c;
  const DeviceInt4 linear = PackAll(setup);
  const DeviceArray<float> x(setup.x);
  const DeviceDigits digits(linear.view(), c.tokens, c.digits);
  DeviceArray<int32_t> marks = DeviceArray<int32_t>(c.tokens).Cleared();
  const DeviceArray<float> norm_weight(setup.norm_weight);
  const float* norm = c.norm ? norm_weight.data() : nullptr;
  if (kernel != kFused) {
    const QuatrainMakeDigits make{x.data(), c.cols,        nullptr,
                                  norm,     1e-5f,         linear.view(),
                                  c.tokens, digits.view(), marks.data()};
    CudaOk(Cuda().digits(&make, nullptr), "digits");
  }

  const bool partial = c.output == kQuatrainPartial;
  const int width = partial                      ? c.rows + 1
                    : c.output == kQuatrainGated ? c.rows / 2
                                                 : c.rows;
  const size_t size = static_cast<size_t>(c.tokens) * width;
  const DeviceArray<int64_t> sums(partial ? size : 0);
  const DeviceArray<float> out(partial ? 0 : size);
  const DeviceArray<float> bias(TileOrder(c, setup.bias));
  const DeviceArray<unsigned char> scratch =
      kernel == kSplit ? ProductScratch(c.digits)
                       : DeviceArray<unsigned char>(0);
  const QuatrainProduct product{
      linear.view(),
      digits.view(),
      c.tokens,
      c.output,
      c.bias ? bias.data() : nullptr,
      partial ? static_cast<void*>(sums.data()) : out.data(),
      width,
      marks.data(),
      kernel == kSplit ? int{kQuatrainMediumRows} : kernel,
      kernel == kSplit ? scratch.data() : nullptr};
  if (kernel == kFused) {
    const QuatrainFusedProduct fused{x.data(), c.cols, nullptr,
                                     norm,     1e-5f,  product};
    CudaOk(Cuda().fused_product(&fused, nullptr), "fused_product");
  } else {
    CudaOk(Cuda().product(&product, nullptr), "product");
    if (kernel == kSplit) {  // again, as the first leaves the scratch
      CudaOk(Cuda().fill(sums.data(), 0x5a, sums.bytes(), nullptr), "fill");
      CudaOk(Cuda().fill(out.data(), 0x5a, out.bytes(), nullptr), "fill");
      CudaOk(Cuda().product(&product, nullptr), "product");
    }
  }
  if (partial) {
    const QuatrainStoreMarks store{marks.data(), sums.data(), width, c.tokens};
    CudaOk(Cuda().store_marks(&store, nullptr), "store_marks");
  }
  const std::vector<int32_t> host_marks = marks.Download();
  std::vector<int64_t> result;
  if (partial) result = sums.Download();
  for (const float value : partial ? std::vector<float>() : out.Download())
    result.push_back(std::bit_cast<uint32_t>(value));
  for (int t = 0; t < c.tokens; ++t) {
    if (host_marks[t] == 0) continue;
    std::fill_n(result.begin() + static_cast<size_t>(t) * width, width,
                partial ? 1 : int64_t{kMarkedBits});
  }
  return result;
}

void Check(const Case& c, int kernel) {
  Setup setup(c);
  const std::vector<int64_t> expected = setup.Expected();
  const std::vector<int64_t> actual = Run(setup, kernel);
  EXPECT_SAME(actual, expected, Describe(c, kernel));
}

// Every kernel that takes the shape.
void CheckAll(const Case& c) {
  if (c.tokens <= 16) Check(c, kQuatrainFewRows);
  if (c.tokens <= 8 / c.digits) Check(c, kFused);
  Check(c, kQuatrainMediumRows);
}

SIMT_TEST(SmallestLegalShapes) {
  CheckAll({1, 1, 1});
  CheckAll({1, 32, 16});
  CheckAll({1, 128, 16});
  CheckAll({2, 33, 3});
}

SIMT_TEST(RaggedAndPrimeShapes) {
  CheckAll({3, 127, 17});
  CheckAll({5, 131, 31});
  CheckAll({7, 257, 5});
  CheckAll({13, 389, 47});
  CheckAll({16, 1000, 33});
}

SIMT_TEST(EveryNumberOfTokens) {
  for (int tokens = 1; tokens <= 16; ++tokens)
    Check({tokens, 256, 37}, kQuatrainFewRows);
  for (int tokens = 1; tokens <= 4; ++tokens) Check({tokens, 256, 37}, kFused);
  for (const int tokens : {17, 31, 32, 33, 63, 64, 65, 100})
    Check({tokens, 256, 37}, kQuatrainMediumRows);
}

// More tiles than blocks of threads stay on the device.
SIMT_TEST(BlocksTakeSeveralTiles) {
  for (const int tokens : {1, 4, 7, 16}) {
    CheckAll({tokens, 256, 75 * NumSms()});
    CheckAll({tokens, 4480, 300});
  }
  CheckAll({3, 640, 312, 128, 80, kQuatrainGated});
  CheckAll({8, 640, 300, 64, 128, kQuatrainPartial, 1, kQuatrainF32});
}

// Tiles of 64 and of 128 outputs: whole blocks of k, others, scales of f32.
SIMT_TEST(ManyTokensInEveryForm) {
  for (const int digits : {1, 2})
    for (const int rows : {40, 600})
      for (const QuatrainDType scales : {kQuatrainF16, kQuatrainF32})
        for (const int group : {128, 96})
          Check({70, 640, rows, group, 128, kQuatrainStore, digits, scales},
                kQuatrainMediumRows);
  // Enough for the larger tiles on any device.
  Check({16 * NumSms(), 128, 256}, kQuatrainMediumRows);
}

// Blocks of threads that share the k of some outputs.
void CheckSplit(const Case& c) {
  const int blocks =
      static_cast<int>(BlockEnds(c.cols, c.group, c.head, c.first).size());
  EXPECT(cuda::PlanMedium({c.tokens, (c.rows + 15) / 16, blocks, c.digits},
                          NumSms(), true)
             .num_splits > 1);
  Check(c, kSplit);
}

SIMT_TEST(SplitsOfEveryForm) {
  for (const int digits : {1, 2})
    for (const QuatrainDType scales : {kQuatrainF16, kQuatrainF32})
      for (const int group : {128, 96}) {
        Case c{64 / digits, 2560,           21,     group,
               128,         kQuatrainStore, digits, scales};
        c.bias = true;
        CheckSplit(c);
      }
  CheckSplit({5, 3000, 70, 32, 80, kQuatrainGated});
  // Two tiles of tokens.
  CheckSplit({33, 4224, 16, 128, 128, kQuatrainPartial});
  CheckSplit({65, 4224, 16, 128, 128, kQuatrainPartial, 1});
}

// What is too large for one of the splits marks the row, whoever stores it.
SIMT_TEST(SplitsMarkRows) {
  for (const int at : {0, 1300, 2559})
    for (const float value : {1e9f, INFINITY}) {
      const Case c{9, 2560, 37, 128, 128, kQuatrainPartial};
      Setup setup(c);
      setup.x[3 * c.cols + at] = value;
      setup.x[8 * c.cols + at] = 1e4f;  // long way, not marked
      EXPECT_SAME(Run(setup, kSplit), setup.Expected(),
                  Describe(c, kSplit) + " at " + std::to_string(at));
    }
}

// Every block of k has one split, none is empty, all fit in the scratch.
SIMT_TEST(PlansOfManyTokens) {
  using namespace cuda;
  for (const int num_sms : {1, 4, 84, 132})
    for (const int digits : {1, 2})
      for (const int tokens : {1, 17, 64, 65, 500})
        for (const int tiles : {1, 20, 80, 256, 1376})
          for (const int blocks : {0, 1, 2, 7, 32, 64, 86, 224})
            for (const bool can_split : {false, true}) {
              const MediumPlan plan = PlanMedium(
                  {tokens, tiles, blocks, digits}, num_sms, can_split);
              const int block_tiles = plan.row_tiles * medium::kWarpRows;
              const int64_t block_tokens = medium::BlockTokens(digits);
              const int64_t parts = (tokens + block_tokens - 1) / block_tokens *
                                    ((tiles + block_tiles - 1) / block_tiles) *
                                    plan.num_splits;
              EXPECT(plan.num_splits * plan.split_blocks >= blocks);
              EXPECT(plan.num_splits == 1 ||
                     (plan.num_splits - 1) * plan.split_blocks < blocks);
              if (plan.num_splits == 1) continue;
              EXPECT(can_split && plan.row_tiles == 1);
              const MediumScratch scratch(num_sms, digits);
              EXPECT(parts * 4 <= scratch.parts_at);
              EXPECT(scratch.parts_at + parts * 64 * block_tokens * 8 <=
                     scratch.total);
            }
}

// On an H200: o of a 7B model, qkv of a 70B model at tp 8, its gate and up.
SIMT_TEST(PlansOfModels) {
  using namespace cuda;
  const auto splits = [](int tokens, int tiles, int blocks) {
    return PlanMedium({tokens, tiles, blocks, 2}, 132, true).num_splits;
  };
  EXPECT_EQ(splits(32, 256, 32), 2);
  EXPECT_EQ(splits(32, 80, 64), 6);
  EXPECT_EQ(splits(32, 3584, 64), 1);
  EXPECT_EQ(splits(256, 256, 32), 1);
}

// The most digits that a block of threads makes for itself.
SIMT_TEST(FusedAtItsLimit) {
  EXPECT_EQ(Cuda().fused_product_fits(4, 84, 42, 2), 1);
  Check({4, 5376, 37}, kFused);
  EXPECT_EQ(Cuda().fused_product_fits(4, 86, 43, 2), 0);
  EXPECT_EQ(Cuda().fused_product_fits(8, 81, 41, 1), 1);
  Check({8, 5184, 21, 128, 128, kQuatrainStore, 1}, kFused);
  EXPECT_EQ(Cuda().fused_product_fits(8, 82, 41, 1), 0);
}

SIMT_TEST(GroupsOfEverySize) {
  for (const int group : {16, 32, 48, 64, 96, 128})
    for (const int tokens : {2, 6, 16}) CheckAll({tokens, 480, 37, group});
}

SIMT_TEST(HeadBoundariesCutBlocks) {
  CheckAll({3, 640, 37, 128, 80});
  CheckAll({9, 576, 37, 64, 96});
  CheckAll({3, 432, 21, 128, 72, kQuatrainPartial, 2, kQuatrainF16, false,
            false, 1.0f, 0.01f, 208});
}

SIMT_TEST(OutputsOfEveryKind) {
  for (const int digits : {1, 2})
    for (const int output : {kQuatrainStore, kQuatrainGated, kQuatrainPartial})
      for (const int tokens : {1, 5, 12, 40}) {
        Case c{tokens, 384,   output == kQuatrainGated ? 44 : 37, 128, 128,
               output, digits};
        c.bias = output != kQuatrainPartial;
        CheckAll(c);
      }
}

SIMT_TEST(ScalesOfEveryDtype) {
  for (const QuatrainDType dtype : {kQuatrainF16, kQuatrainBF16, kQuatrainF32})
    for (const int digits : {1, 2}) {
      Case c{5, 320, 37, 64, 128, kQuatrainStore, digits, dtype};
      CheckAll(c);
    }
}

SIMT_TEST(NormBeforeTheProduct) {
  for (const int cols : {64, 256, 257, 1000, 4096}) {
    Case c{3, cols, 21};
    c.norm = true;
    CheckAll(c);
  }
}

// Contributions that need the long way, and such that mark the row.
SIMT_TEST(LargeContributions) {
  for (const int digits : {1, 2})
    for (const float scale : {1.0f, 1e3f, 1e5f, 3e6f, 1e9f, 1e30f, 3e38f}) {
      Case c{6, 384, 21, 128, 128, kQuatrainPartial, digits};
      c.x_scale = scale;
      CheckAll(c);
      c.output = kQuatrainStore;
      CheckAll(c);
    }
}

// One row whose contributions are large makes a warp take the long way for all.
SIMT_TEST(LargeRowsBesideSmallOnes) {
  for (const int kernel :
       {int{kQuatrainFewRows}, int{kQuatrainMediumRows}, kFused})
    for (const float scale : {1e4f, 1e30f}) {
      Case c{4, 384, 37};
      Setup setup(c);
      for (int k = 0; k < c.cols; ++k) setup.x[2 * c.cols + k] *= scale;
      EXPECT_SAME(Run(setup, kernel), setup.Expected(), Describe(c, kernel));
    }
}

// Contributions of 2^23 and its neighbours: from there on the row is marked.
SIMT_TEST(ContributionsAtTheLimit) {
  for (const int kernel :
       {int{kQuatrainFewRows}, int{kQuatrainMediumRows}, kFused}) {
    Setup setup({4, 1, 1, 128, 128, kQuatrainPartial});
    setup.parts[0].q = {8};
    setup.parts[0].z = {7};
    setup.parts[0].s = {1.0f};
    setup.x = {8388607.0f, 8388608.0f, 8388609.0f, -8388608.0f};
    EXPECT_SAME(Run(setup, kernel), setup.Expected(), "at 2^23");
  }
}

// Of many tokens only the one that is too large is marked.
SIMT_TEST(OneOfManyTokensIsMarked) {
  for (const int digits : {1, 2})
    for (const int large : {0, 3, 5, 10, 15})
      for (const int kernel :
           {int{kQuatrainFewRows}, int{kQuatrainMediumRows}}) {
        Setup setup({16, 1, 1, 128, 128, kQuatrainPartial, digits});
        setup.parts[0].q = {8};
        setup.parts[0].z = {7};
        setup.parts[0].s = {1.0f};
        setup.x.assign(16, 100.0f);
        setup.x[large] = 8388608.0f;
        EXPECT_SAME(Run(setup, kernel), setup.Expected(),
                    "token " + std::to_string(large));
      }
}

// Quotients just above one half, whose inverses are the hardest to round: a has
// a mantissa of ones.
SIMT_TEST(DigitsAtOneHalf) {
  for (const int digits : {1, 2}) {
    Setup setup({1, 2, 16, 128, 128, kQuatrainStore, digits});
    setup.x = {digits == 2 ? 65278.0f - 0x1p-8f : 254.0f - 0x1p-16f, 1.0f};
    for (const int kernel :
         {int{kQuatrainFewRows}, int{kQuatrainMediumRows}, kFused})
      EXPECT_SAME(Run(setup, kernel), setup.Expected(), "digits of one half");
  }
}

SIMT_TEST(ValuesThatAreNotFinite) {
  for (const float bad : {INFINITY, -INFINITY, NAN})
    for (const int output : {kQuatrainStore, kQuatrainPartial})
      for (const int kernel :
           {int{kQuatrainFewRows}, int{kQuatrainMediumRows}, kFused}) {
        Case c{4, 300, 21, 128, 128, output};
        Setup setup(c);
        setup.x[1 * c.cols + 299] = bad;
        setup.x[3 * c.cols] = bad;
        EXPECT_SAME(Run(setup, kernel), setup.Expected(), Describe(c, kernel));
      }
}

// K, groups and cut of real models; N reduced to two tiles and a tail, but
// whole on a GPU where the reference does not take minutes.
SIMT_TEST(RealLayers) {
  constexpr int kReduced = 37;
  struct Layer {
    int cols, group, first, rows;
  };
  const Layer layers[] = {
      {4096, 128, 0, 4096},          // 7B: o
      {11008, 128, 0, kReduced},     // down
      {5504, 128, 5504, 4096},       // at tp 2
      {1408, 128, 2816, 4096},       // at tp 8
      {7168, 128, 0, kReduced},      // 34B
      {20480, 128, 0, kReduced},     // down
      {1024, 128, 6144, 7168},       // o at tp 7
      {896, 64, 0, 7168},            // at tp 8
      {8192, 128, 0, 1280},          // 70B: qkv at tp 8
      {28672, 128, 0, kReduced},     // down
      {3584, 128, 25088, 8192},      // at tp 8
      {14720, 128, 14848, kReduced}  // 231 groups, unequal
  };
  for (const Layer& layer : layers)
    for (const int output : {kQuatrainStore, kQuatrainPartial}) {
      const bool whole = Cuda().is_emulation == 0 && output == kQuatrainStore;
      const int rows = whole ? layer.rows : kReduced;
      Case c{1, layer.cols, rows, layer.group, 128, output};
      c.first = layer.first;
      Check(c, kQuatrainFewRows);
      if (layer.cols <= 20480) Check(c, kFused);
      if (layer.cols <= 8192) {
        c.tokens = 17;
        Check(c, output == kQuatrainStore ? int{kQuatrainMediumRows} : kSplit);
      }
    }
}

SIMT_TEST(SlabsGiveTheSameTiles) {
  Random random(3);
  const HostInt4 host(83, 700, BlockEnds(700, 128, 96), kQuatrainF16, 0.01f,
                      random);
  DeviceInt4 whole(83, 700, host.ends, kQuatrainF16);
  whole.Pack(host);
  DeviceInt4 pieces(83, 700, host.ends, kQuatrainF16);
  for (const auto& [begin, end] :
       {std::pair{0, 8}, std::pair{8, 48}, std::pair{48, 83}})
    for (const auto& [first, last] :
         {std::pair{0, 1}, std::pair{1, 5}, std::pair{5, host.num_blocks()}})
      pieces.PackSlab(host, begin, end, first, last, 0);
  const auto bytes = [](const DeviceInt4& linear) {
    std::vector<unsigned char> host_bytes(linear.weight_bytes());
    CudaOk(Cuda().copy(host_bytes.data(), linear.tiles(), host_bytes.size(),
                       nullptr),
           "copy");
    DeviceArray<int>::Synchronize();
    return host_bytes;
  };
  EXPECT_SAME(bytes(pieces), bytes(whole), "slabs");
}

SIMT_TEST(ImpossibleShapesAreRefused) {
  QuatrainProduct product = {};
  product.num_tokens = 17;
  product.linear.rows = 16;
  product.x.num_digits = 2;
  product.kernel = kQuatrainFewRows;
  EXPECT(Cuda().product(&product, nullptr) == kQuatrainBadArgument);
  EXPECT(std::strstr(Cuda().message(), "at most 16 tokens") != nullptr);
  product.x.num_digits = 3;
  EXPECT(Cuda().product(&product, nullptr) == kQuatrainBadArgument);
  EXPECT_EQ(Cuda().fused_product_fits(5, 2, 1, 2), 0);
  EXPECT_EQ(Cuda().fused_product_fits(4, 300, 150, 2), 0);
  EXPECT_EQ(Cuda().fused_product_fits(8, 2, 1, 1), 1);
  QuatrainFusedProduct fused = {};
  fused.product = product;
  EXPECT(Cuda().fused_product(&fused, nullptr) == kQuatrainBadArgument);
  fused.product.x.num_digits = 2;
  EXPECT(Cuda().fused_product(&fused, nullptr) == kQuatrainBadArgument);
  const std::vector<int32_t> ends = {128, 300};
  const QuatrainBlocks blocks{ends.data(), 2};
  QuatrainLayout layout;
  EXPECT(Cuda().block_table(&blocks, 1, kQuatrainF16, nullptr, &layout) ==
         kQuatrainBadArgument);
}

}  // namespace
}  // namespace quatrain
