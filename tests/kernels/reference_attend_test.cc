#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "gtest/gtest.h"
#include "tests/kernels/reference_cases.h"
#include "tests/support/random.h"

// The reference against arithmetic in double, within derived bounds: the only
// tests of kernels that have a tolerance. Everything else compares bits.
namespace quatrain {
namespace {

// The same in double, from the formulas.
std::vector<double> AttendInDouble(const AttentionSpec& spec,
                                   const std::vector<float>& qkv, int tokens) {
  const int dim = spec.head_dim;
  const int width = (spec.num_q_heads + 2 * spec.num_kv_heads) * dim;
  const auto rotated = [&](int t, int head) {
    std::vector<double> v(dim);
    for (int d = 0; d < dim; ++d) v[d] = qkv[t * width + head * dim + d];
    const size_t half = spec.rope.inv_freq.size();
    for (size_t i = 0; i < half; ++i) {
      const double angle = t * spec.rope.inv_freq[i];
      const double cos = std::cos(angle) * spec.rope.scaling;
      const double sin = std::sin(angle) * spec.rope.scaling;
      const double x = v[i], y = v[i + half];
      v[i] = x * cos - y * sin;
      v[i + half] = y * cos + x * sin;
    }
    return v;
  };
  std::vector<double> out(tokens * spec.num_q_heads * dim);
  for (const KvHeadUse& use : spec.heads) {
    std::vector<std::vector<double>> keys;
    for (int t = 0; t < tokens; ++t)
      keys.push_back(rotated(t, spec.num_q_heads + use.kv_head));
    for (int h = use.first_q_head; h < use.first_q_head + use.count; ++h) {
      for (int t = 0; t < tokens; ++t) {
        const std::vector<double> q = rotated(t, h);
        double sum = 0;
        double* o = &out[(t * spec.num_q_heads + h) * dim];
        for (int j = 0; j <= t; ++j) {
          if (spec.window > 0 && j <= t - spec.window) continue;
          double score = 0;
          for (int d = 0; d < dim; ++d) score += q[d] * keys[j][d];
          const double weight = std::exp(score * spec.scale);
          const int v = spec.num_q_heads + spec.num_kv_heads + use.kv_head;
          for (int d = 0; d < dim; ++d)
            o[d] += weight * qkv[j * width + v * dim + d];
          sum += weight;
        }
        for (int d = 0; d < dim; ++d) o[d] /= sum;
      }
    }
  }
  return out;
}

TEST(ReferenceAttendTest, IsNearDouble) {
  Random random(31);
  const int tokens = 600;  // more than one segment of keys
  for (const int window : {0, 1, 37, 530}) {
    const AttentionCase c{.spec = GqaSpec(window)};
    const std::vector<float> qkv = random.Normals(tokens * 10 * 16);
    const std::vector<float> got = Attend(c, qkv, tokens, tokens);
    const std::vector<double> want = AttendInDouble(c.spec, qkv, tokens);
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::fabs(got[i] - want[i]));
    // Scores below 16 with 2 ulp, a softmax of at most 600 keys.
    EXPECT_LT(worst, 3e-5) << "window " << window;
  }
}

TEST(ReferenceAttendTest, ChunksAndBlocksChangeNoBit) {
  Random random(32);
  const int tokens = 150;
  const std::vector<float> qkv = random.Normals(tokens * 10 * 16, 2.0f);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    AttentionCase c{.spec = GqaSpec(40), .dtype = dtype};
    const std::vector<float> whole = Attend(c, qkv, tokens, tokens);
    EXPECT_EQ(Attend(c, qkv, tokens, 1), whole);
    EXPECT_EQ(Attend(c, qkv, tokens, 7), whole);
    c.block_size = 16;
    EXPECT_EQ(Attend(c, qkv, tokens, 64), whole);
  }
}

TEST(ReferenceAttendTest, OneKeyGivesItsStoredValue) {
  const AttentionCase c{.spec = GqaSpec(0), .dtype = DType::kF16};
  Random random(33);
  const std::vector<float> qkv = random.Normals(10 * 16);
  const std::vector<float> out = Attend(c, qkv, 1, 1);
  for (int d = 0; d < 16; ++d)
    EXPECT_EQ(out[5 * 16 + d], F16ToF32(F32ToF16(qkv[(6 + 2 + 1) * 16 + d])));
}

}  // namespace
}  // namespace quatrain
