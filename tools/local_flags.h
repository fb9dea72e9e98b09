#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "tools/group_flags.h"
#include "worker/engine_settings.h"

namespace quatrain {

// How the commands that run a model without a server run it: all ranks as
// threads of this process (worker/local_group.h).
struct LocalFlags {
  LayoutFlags layout;
  std::string backend = "cpu";
  std::string isa;
  std::string activations = "exact";
  std::string kv_cache_dtype = "auto";
  int threads = 0;
};

// `activations`: the choices of --activations. --backend is the command's own.
void AddLocalFlags(CLI::App& app, const std::vector<std::string>& activations,
                   LocalFlags* flags);

// The settings that follow; those of sequences are left to the command.
absl::StatusOr<EngineSettings> MakeLocalSettings(const LocalFlags& flags,
                                                 int num_layers);

}  // namespace quatrain
