#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/local_driver.h"

namespace quatrain {

inline constexpr char kTales[] = "examples/tales-8m-awq";

// Settings of a group that runs the small model in tests: one thread per rank.
inline EngineSettings TalesSettings() {
  EngineSettings settings;
  settings.max_num_seqs = 16;
  settings.max_num_batched_tokens = 256;
  settings.threads = 1;
  return settings;
}

inline Layout LayoutOf(int tp, int pp, const std::string& shares = "",
                       const std::string& layers = "") {
  LayoutFlags flags{.tp = tp, .pp = pp, .layers = layers, .tp_shares = shares};
  absl::StatusOr<Layout> layout = MakeLayout(flags, 8);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return layout.ok() ? *layout : Layout();
}

// Different prompts of different lengths, as token ids of the small model.
inline std::vector<std::vector<int32_t>> Prompts(int count) {
  std::vector<std::vector<int32_t>> prompts;
  uint32_t state = 1;
  for (int i = 0; i < count; ++i) {
    std::vector<int32_t> ids = {1};
    for (int t = 0; t < 5 + 9 * i; ++t) {
      state = state * 1664525u + 1013904223u;
      ids.push_back(static_cast<int32_t>(260 + (state >> 16) % 3700));
    }
    prompts.push_back(std::move(ids));
  }
  return prompts;
}

// Requests for all prompts that draw `tokens` each and want log-probabilities.
inline std::vector<LocalRequest> Requests(int prompts, int tokens,
                                          const SamplingSetup& sampling) {
  std::vector<LocalRequest> requests;
  for (std::vector<int32_t>& prompt : Prompts(prompts)) {
    LocalRequest request{.prompt = std::move(prompt),
                         .num_tokens = tokens,
                         .sampling = sampling,
                         .prompt_logprobs = true,
                         .prompt_top_logprobs = 2};
    request.sampling.logprobs = true;
    request.sampling.top_logprobs = 5;
    request.sampling.seed += requests.size();
    requests.push_back(std::move(request));
  }
  return requests;
}

inline std::vector<LocalOutput> RunOn(EngineSettings settings,
                                      const std::vector<LocalRequest>& requests,
                                      const LocalDriverOptions& options = {}) {
  auto group = LocalGroup::Start(kTales, std::move(settings));
  EXPECT_TRUE(group.ok()) << group.status();
  if (!group.ok()) return {};
  auto outputs = RunLocally(**group, requests, options);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? *std::move(outputs) : std::vector<LocalOutput>();
}

inline void ExpectSame(const std::vector<TokenLogprob>& a,
                       const std::vector<TokenLogprob>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].token_id, b[i].token_id) << "at " << i;
    ASSERT_EQ(a[i].rank, b[i].rank) << "at " << i;
    // Bits, not values: -0.0 is not 0.0 here.
    ASSERT_EQ(std::bit_cast<uint32_t>(a[i].logprob),
              std::bit_cast<uint32_t>(b[i].logprob))
        << "at " << i << ": " << a[i].logprob << ", " << b[i].logprob;
  }
}

// Bit for bit the same tokens and log-probabilities.
inline void ExpectSame(const LocalOutput& a, const LocalOutput& b) {
  ASSERT_EQ(a.token_ids, b.token_ids);
  ExpectSame(a.logprobs, b.logprobs);
  ExpectSame(a.prompt_logprobs, b.prompt_logprobs);
  ASSERT_EQ(a.top_logprobs.size(), b.top_logprobs.size());
  for (size_t i = 0; i < a.top_logprobs.size(); ++i)
    ExpectSame(a.top_logprobs[i], b.top_logprobs[i]);
  ASSERT_EQ(a.prompt_top_logprobs.size(), b.prompt_top_logprobs.size());
  for (size_t i = 0; i < a.prompt_top_logprobs.size(); ++i)
    ExpectSame(a.prompt_top_logprobs[i], b.prompt_top_logprobs[i]);
}

inline void ExpectSame(const std::vector<LocalOutput>& a,
                       const std::vector<LocalOutput>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "prompt " << i);
    ExpectSame(a[i], b[i]);
  }
}

}  // namespace quatrain
