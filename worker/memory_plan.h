#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/engine_settings.h"
#include "worker/group_layout.h"
#include "worker/kv_cache.h"
#include "worker/shard_sources.h"

namespace quatrain {

// Everything that one rank will hold, term by term, known before a weight is
// read. All in bytes of anonymous memory; mapped file pages are not in it.
struct MemoryPlan {
  struct Term {
    std::string name;
    int64_t bytes = 0;
  };

  int rank = 0;
  std::string device;       // "worker-0/0", for messages
  int64_t limit_bytes = 0;  // of the rank, everything included
  std::vector<Term> terms;  // process, weights, runtime, comm, slack; no kv
  std::vector<KvSpec> kv;   // per layer
  int block_size = 0;
  int max_model_len = 0;

  int64_t fixed_bytes() const;         // all terms
  int64_t kv_bytes_per_block() const;  // all layers
  // KV blocks that fit under the limit beside the terms; 0 if not even one, or
  // negative by how many blocks the terms alone pass it.
  int64_t num_blocks() const;
  // Blocks of one sequence of max_model_len tokens: with fewer, the model does
  // not fit.
  int64_t min_blocks() const;
  bool fits() const { return num_blocks() >= min_blocks(); }
  // What DeviceMemory may hand out: the limit less what is not allocated there;
  // 0, without a limit, if there is none.
  int64_t device_bytes() const;

  // "rank 0 (worker-0/0)   limit 256.00 MiB  process 20.00 MiB ..."
  std::string Row() const;
  // Which rank, what it needs, its limit, by how much it is short, each term.
  std::string Refusal() const;
};

// Where a rank stands and what its process already holds.
struct MemoryPlanInputs {
  int rank = 0;
  std::string device;
  int64_t limit_bytes = 0;
  int64_t process_bytes = 0;  // this rank's part of what the process holds now
  int64_t comm_bytes = 0;     // CommunicatorBytes()
};

MemoryPlan PlanMemory(const ModelConfig& config, const ShardSources& sources,
                      const EngineSettings& settings,
                      const MemoryPlanInputs& inputs);

}  // namespace quatrain
