#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/record_size.h"
#include "tests/kernels/cpu_cases.h"

// Attention of the CPU backend against the reference, bit for bit.
namespace quatrain {
namespace {

AttentionSpec Spec(int q_heads, int kv_heads, int dim, int window = 0,
                   int rotated_pairs = -1) {
  AttentionSpec spec{.num_q_heads = q_heads,
                     .num_kv_heads = kv_heads,
                     .head_dim = dim,
                     .scale = 1.0f / std::sqrt(static_cast<float>(dim)),
                     .window = window};
  for (int h = 0; h < kv_heads; ++h) {
    const int first = q_heads * h / kv_heads;
    spec.heads.push_back({h, first, q_heads * (h + 1) / kv_heads - first});
  }
  const int pairs = rotated_pairs < 0 ? dim / 2 : rotated_pairs;
  for (int i = 0; i < pairs; ++i)
    spec.rope.inv_freq.push_back(
        std::pow(10000.0f, -static_cast<float>(i) / pairs));
  return spec;
}

// Steps of chunks; every sequence has a slot and, all together, a pool.
struct AttendCase {
  AttentionSpec spec;
  DType dtype = DType::kF16;
  int block_size = 16;
  std::vector<int> lengths;              // of the sequences, at the end
  std::vector<std::vector<int>> chunks;  // [steps][sequences], 0 = not in it
  bool hard = false;                     // with infinities and NaN
};

// Makes the blocks that lie below every window of the step unusable: whoever
// reads them leaves the pool.
void ForgetBlocksBelowWindows(const AttendCase& c, const StepView& view) {
  for (int s = 0; s < view.num_sequences; ++s) {
    const int first = view.positions[view.cu_seqlens[s]] - c.spec.window + 1;
    auto* table =
        const_cast<int32_t*>(view.block_tables) + s * view.block_stride;
    for (int b = 0; (b + 1) * c.block_size <= first; ++b) table[b] = 1 << 26;
  }
}

// The outputs of all steps, in order. forgets: not the reference, which loads
// every key before it looks at windows.
std::vector<float> Outputs(const AttendCase& c, Backend& backend,
                           bool forgets) {
  Random random(77);
  const AttentionSpec& spec = c.spec;
  const int width = (spec.num_q_heads + 2 * spec.num_kv_heads) * spec.head_dim;
  const int out_width = spec.num_q_heads * spec.head_dim;
  int num_blocks = 0;
  std::vector<std::vector<int32_t>> blocks;  // of each sequence
  for (const int length : c.lengths) {
    blocks.emplace_back();
    for (int t = 0; t < length; t += c.block_size)
      blocks.back().push_back(num_blocks++);
    std::reverse(blocks.back().begin(), blocks.back().end());
  }
  std::vector<std::byte> pool(
      KvLayerBytes(num_blocks, c.block_size, spec.num_kv_heads, spec.head_dim,
                   c.dtype),
      std::byte{0xff});  // what nobody wrote is NaN
  const KvLayer kv{pool.data(),  c.dtype,           num_blocks,
                   c.block_size, spec.num_kv_heads, spec.head_dim};
  std::vector<int> at(c.lengths.size());
  std::vector<float> result;
  for (const std::vector<int>& sizes : c.chunks) {
    Step step;
    int tokens = 0;
    for (size_t s = 0; s < sizes.size(); ++s) {
      if (sizes[s] == 0) continue;
      ChunkDelta chunk{.slot = static_cast<int>(s), .start = at[s]};
      chunk.token_ids.assign(sizes[s], 1);
      if (at[s] == 0) chunk.new_tenant = true, chunk.new_blocks = blocks[s];
      at[s] += sizes[s];
      tokens += sizes[s];
      step.chunks.push_back(chunk);
    }
    const StepView& view = backend.BeginStep(step);
    if (forgets && spec.window > 0) ForgetBlocksBelowWindows(c, view);
    std::vector<float> values = random.Normals(size_t(tokens) * width, 1.5f);
    if (c.hard) {
      values[random.Int(0, static_cast<int>(values.size()) - 1)] =
          std::numeric_limits<float>::infinity();
      values[random.Int(0, static_cast<int>(values.size()) - 1)] = 1e30f;
      values[random.Int(0, static_cast<int>(values.size()) - 1)] =
          std::numeric_limits<float>::quiet_NaN();
    }
    HostMatrix<float> qkv(tokens, width, values);
    HostMatrix<float> out(tokens, out_width);
    backend.Attend(qkv.view(), spec, view, kv, out.view());
    result.insert(result.end(), out.values().begin(), out.values().end());
  }
  return result;
}

void ExpectEqualToReference(const AttendCase& c, const std::string& what) {
  BackendOptions options = TestOptions();
  options.block_size = c.block_size;
  options.max_blocks = 4096 / c.block_size;
  const std::vector<float> want = Outputs(c, *MakeReference(options), false);
  for (const float value : want)
    ASSERT_TRUE(c.hard || std::isfinite(value)) << what;
  for (const CpuCase& cpu : CpuCases())
    EXPECT_TRUE(SameBits(Outputs(c, *MakeCpu(cpu, options), true), want, true))
        << what << ", " << cpu.name();
}

// A prompt, then decode, with lengths around tiles and segments.
TEST(CpuAttendTest, LengthsAroundTilesAndSegments) {
  for (const int length : {1, 31, 32, 33, 511, 512, 513})
    ExpectEqualToReference({.spec = Spec(2, 1, 16),
                            .lengths = {length + 3},
                            .chunks = {{length}, {1}, {1}, {1}}},
                           "length " + std::to_string(length));
}

TEST(CpuAttendTest, HeadsAndDims) {
  struct Heads {
    int q, kv, dim, pairs;
  };
  for (const Heads& h :
       {Heads{1, 1, 1, 0}, Heads{1, 1, 2, 1}, Heads{4, 4, 6, 3},
        Heads{6, 2, 20, 8}, Heads{8, 1, 80, 40}, Heads{7, 1, 64, 32},
        Heads{3, 3, 100, 50}, Heads{4, 2, 128, 64}, Heads{2, 1, 256, 16}})
    ExpectEqualToReference({.spec = Spec(h.q, h.kv, h.dim, 0, h.pairs),
                            .lengths = {50},
                            .chunks = {{37}, {1}, {12}}},
                           "dim " + std::to_string(h.dim));
}

TEST(CpuAttendTest, TypesAndBlockSizes) {
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32})
    for (const int block_size : {1, 5, 8, 16, 32, 64, 128})
      ExpectEqualToReference({.spec = Spec(4, 2, 40),
                              .dtype = dtype,
                              .block_size = block_size,
                              .lengths = {75, 9},
                              .chunks = {{70, 0}, {1, 8}, {4, 1}}},
                             std::string(Name(dtype)) + " blocks of " +
                                 std::to_string(block_size));
}

TEST(CpuAttendTest, Windows) {
  for (const int window : {1, 2, 31, 32, 33, 100, 512, 600})
    ExpectEqualToReference({.spec = Spec(2, 1, 16, window),
                            .lengths = {650},
                            .chunks = {{300}, {1}, {347}, {1}, {1}}},
                           "window " + std::to_string(window));
}

TEST(CpuAttendTest, ManySequencesOfAllKinds) {
  ExpectEqualToReference({.spec = Spec(8, 2, 32),
                          .lengths = {200, 3, 64, 530, 90},
                          .chunks = {{40, 1, 0, 520, 0},
                                     {1, 1, 63, 1, 7},
                                     {158, 0, 0, 1, 33},
                                     {1, 1, 1, 8, 50}}},
                         "mixed");
}

// Fewer heads than threads: a long sequence's segments are shared.
TEST(CpuAttendTest, LongContextsOfOneHead) {
  ExpectEqualToReference({.spec = Spec(1, 1, 16),
                          .lengths = {2100},
                          .chunks = {{2095}, {1}, {1}, {3}}},
                         "one head");
  ExpectEqualToReference({.spec = Spec(2, 2, 8, 700),
                          .lengths = {1500},
                          .chunks = {{1495}, {1}, {4}}},
                         "window");
}

// A rank's heads need not be cut where KV heads are.
TEST(CpuAttendTest, ATableOfUnequalHeads) {
  AttentionSpec spec = Spec(5, 3, 24);
  spec.heads = {{0, 0, 1}, {1, 1, 3}, {2, 4, 1}};
  ExpectEqualToReference(
      {.spec = spec, .lengths = {40}, .chunks = {{33}, {1}, {6}}}, "unequal");
}

TEST(CpuAttendTest, NoHeadsAndNoTokens) {
  AttentionSpec spec = Spec(2, 1, 8);
  spec.num_q_heads = spec.num_kv_heads = 0;
  spec.heads.clear();
  ExpectEqualToReference({.spec = spec, .lengths = {4}, .chunks = {{4}}},
                         "none");
}

TEST(CpuAttendTest, ValuesThatAreNotFinite) {
  for (const DType dtype : {DType::kF16, DType::kF32})
    ExpectEqualToReference({.spec = Spec(4, 2, 16),
                            .dtype = dtype,
                            .lengths = {80, 40},
                            .chunks = {{60, 20}, {1, 19}, {19, 1}},
                            .hard = true},
                           "not finite");
}

}  // namespace
}  // namespace quatrain
