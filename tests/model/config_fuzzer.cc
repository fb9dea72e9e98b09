#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/generation_config.h"
#include "model/model_config.h"
#include "model/rope.h"
#include "model/shard_plan.h"
#include "spdlog/spdlog.h"

// Any text as config.json and as generation_config.json. What is accepted must
// be usable: finite rotary frequencies, and a plan for two ranks.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  spdlog::set_level(spdlog::level::off);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  quatrain::ModelConfig small;
  small.vocab_size = 1000;
  (void)quatrain::ParseGenerationDefaults(text, "fuzz", small);
  const auto config = quatrain::ParseModelConfig(text, "fuzz");
  if (!config.ok()) return 0;
  CHECK_EQ(config->num_q_heads % config->num_kv_heads, 0);
  CHECK_EQ(static_cast<int>(config->sliding_window.size()), config->num_layers);
  for (const float frequency : quatrain::ComputeRope(*config).inv_freq)
    CHECK(std::isfinite(frequency));
  const auto layout = quatrain::MakeLayout({.tp = 2}, config->num_layers);
  CHECK(layout.ok());
  CHECK_EQ(quatrain::PlanShards(*config, *layout).size(), 2u);
  return 0;
}
