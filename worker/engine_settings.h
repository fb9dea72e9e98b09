#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "kernels/backend_options.h"
#include "model/layout.h"
#include "quatrain/internal/v1/group.pb.h"

namespace quatrain {

// Everything that sizes a rank; the same for all ranks of a group.
struct EngineSettings {
  Layout layout;
  int block_size = 16;
  int max_num_seqs = 64;             // slots
  int max_num_batched_tokens = 512;  // of one plan
  int max_model_len = 0;             // of one sequence, in tokens
  DType kv_dtype = DType::kF16;
  Activations activations = Activations::kExact;
  std::string backend = "cpu";  // cpu, reference
  std::string isa;              // "" = the best of the machine
  int num_micro_batches = 1;
  int plans_in_flight = 2;
  int ranks_on_host = 1;
  int threads = 0;  // per rank; 0 = max(1, cores / ranks_on_host)
  std::chrono::milliseconds step_timeout{10'000};
  int num_token_ids = 0;  // ids beyond are never drawn; 0 = no padding rows

  int max_blocks() const {  // of one sequence
    return (max_model_len + block_size - 1) / block_size;
  }
  // What this machine makes of `threads`, and whether waiting threads may spin:
  // only where all threads of all ranks fit the cores.
  int num_threads() const;
  bool may_spin() const;
};

// InvalidArgument, naming the field, for what no coordinator may send; whether
// the layout suits the model is CheckLayout's business.
absl::StatusOr<EngineSettings> ReadEngineConfig(
    const internal::v1::EngineConfig& config);

}  // namespace quatrain
