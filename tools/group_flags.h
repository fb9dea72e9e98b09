#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "model/layout.h"

namespace quatrain {

// What sizes and shapes a group; shared by `serve` and `coordinator`. Names and
// meanings are those of vLLM where it has them.
struct GroupFlags {
  std::string model;
  LayoutFlags layout;
  int max_model_len = 0;  // 0 = the checkpoint's
  int max_num_seqs = 16;
  int max_num_batched_tokens = 512;
  int block_size = 16;
  int num_micro_batches = 0;  // 0 = pp
  int max_num_blocks = 0;     // 0 = what the budgets hold
  int threads = 0;            // per rank; 0 = cores / ranks on the host
  std::string kv_cache_dtype = "auto";
  std::string activations = "exact";
  std::string backend = "cpu";
  std::string isa = "auto";

  std::string host = "127.0.0.1";
  int port = 50051;
  std::string internal_host = "127.0.0.1";
  int internal_port = 50052;
  bool insecure = false;
  bool reflection = false;
  std::string ports_file;
  std::string served_model_name;
  std::string generation_config = "auto";
  std::string workers;  // comma separated
  int max_queue = 1024;
  int max_connections = 1024;
  int max_output_tokens = 0;  // 0 = the context alone
  int64_t max_receive_bytes = 1 << 20;
  double worker_timeout_s = 3;
  double step_timeout_s = 30;
  double max_request_time_s = 600;
  double stream_stall_timeout_s = 60;
  double drain_timeout_s = 30;
  std::string record_plans;
  int inject_result_delay_ms = 0;
  std::string log_level = "info";
};

void AddGroupFlags(CLI::App& app, GroupFlags* flags);

// Where the ranks listen to whom: written as JSON {"port", "internal_port"}.
absl::Status WritePortsFile(const std::string& path, int port,
                            int internal_port);

}  // namespace quatrain
