#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/exact_sum.h"
#include "kernels/reference.h"
#include "tests/support/random.h"

// What the tests of the reference backend share.
namespace quatrain {

inline std::unique_ptr<Backend> MakeBackend(BackendOptions options = {}) {
  options.num_slots = 8;
  options.max_blocks = 64;
  return *MakeReferenceBackend(options);
}

// One part, no bias.
template <typename Host>
std::unique_ptr<Linear> Pack(Backend& backend, const Host& host,
                             LinearRole role) {
  auto linear =
      backend.PackLinear({.cols = host.cols(), .parts = {host.part()}}, role);
  EXPECT_TRUE(linear.ok()) << linear.status();
  return *std::move(linear);
}

template <typename Host>
std::vector<int64_t> PartialSums(Backend& backend, const Host& host,
                                 std::vector<float> x) {
  const auto linear = Pack(backend, host, LinearRole::kO);
  HostMatrix<float> in(1, host.cols(), std::move(x));
  HostMatrix<int64_t> out(1, host.rows() + 1);
  backend.Project(in.view(), nullptr, *linear, out.view());
  return out.values();
}

template <typename Host>
std::vector<float> Store(Backend& backend, const Host& host,
                         std::vector<float> x) {
  const auto linear = Pack(backend, host, LinearRole::kQkv);
  HostMatrix<float> in(1, host.cols(), std::move(x));
  HostMatrix<float> out(1, host.rows());
  backend.Project(in.view(), nullptr, *linear, out.view());
  return out.values();
}

inline bool IsMarked(float value) {
  return std::bit_cast<uint32_t>(value) == kMarkedBits;
}

inline Step PrefillStep(std::vector<int32_t> ids, int start,
                        std::vector<int32_t> blocks) {
  Step step;
  step.chunks = {{.slot = 0,
                  .new_tenant = start == 0,
                  .token_ids = std::move(ids),
                  .start = start,
                  .new_blocks = std::move(blocks)}};
  return step;
}

// A little model of one attention layer with its cache.
struct AttentionCase {
  AttentionSpec spec;
  DType dtype = DType::kF32;
  int block_size = 4;
};

inline AttentionSpec GqaSpec(int window) {
  AttentionSpec spec{.num_q_heads = 6,
                     .num_kv_heads = 2,
                     .head_dim = 16,
                     .scale = 0.25f,
                     .window = window,
                     .heads = {{0, 0, 2}, {1, 2, 4}}};
  for (int i = 0; i < 6; ++i)  // four dims pass unrotated
    spec.rope.inv_freq.push_back(std::pow(100.0f, -i / 6.0f));
  spec.rope.scaling = 1.1f;
  return spec;
}

// Attends over `qkv` [tokens, width] in chunks of `chunk` tokens.
inline std::vector<float> Attend(const AttentionCase& c,
                                 const std::vector<float>& qkv, int tokens,
                                 int chunk) {
  const int width =
      (c.spec.num_q_heads + 2 * c.spec.num_kv_heads) * c.spec.head_dim;
  const int out_width = c.spec.num_q_heads * c.spec.head_dim;
  BackendOptions options{.num_slots = 1,
                         .max_blocks = tokens,
                         .block_size = c.block_size,
                         .kv_dtype = c.dtype};
  const auto backend = *MakeReferenceBackend(options);
  const int blocks = (tokens + c.block_size - 1) / c.block_size;
  std::vector<float> memory(blocks * c.block_size * c.spec.num_kv_heads *
                            c.spec.head_dim * 2);
  const KvLayer kv{memory.data(),       c.dtype,        blocks, c.block_size,
                   c.spec.num_kv_heads, c.spec.head_dim};
  std::vector<float> result;
  for (int begin = 0; begin < tokens; begin += chunk) {
    const int n = std::min(chunk, tokens - begin);
    std::vector<int32_t> new_blocks;
    if (begin == 0)  // in reverse, so that a table is needed
      for (int b = blocks; b > 0; --b) new_blocks.push_back(b - 1);
    const StepView& view = backend->BeginStep(
        PrefillStep(std::vector<int32_t>(n, 1), begin, new_blocks));
    HostMatrix<float> in(
        n, width,
        {qkv.begin() + begin * width, qkv.begin() + (begin + n) * width});
    HostMatrix<float> out(n, out_width);
    backend->Attend(in.view(), c.spec, view, kv, out.view());
    result.insert(result.end(), out.values().begin(), out.values().end());
  }
  return result;
}

}  // namespace quatrain
