#pragma once

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace quatrain {

// What every subcommand exits with (docs/cli.md).
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,            // bad flag, illegal cut, refused registration
  kExitDoesNotFit = 3,       // a budget is too small
  kExitModelUnreadable = 4,  // file, dtype, architecture, another model
  kExitTemporary = 75,       // a peer was lost: try again
};

// A subcommand adds its flags to `app` and hands back what runs it. Flags are
// also read from QUATRAIN_FLAG_NAME in the environment; the command line wins.
using RunCommand = std::function<int()>;

RunCommand AddServe(CLI::App& app);
RunCommand AddCoordinator(CLI::App& app);
RunCommand AddWorker(CLI::App& app);
RunCommand AddGenerate(CLI::App& app);
RunCommand AddInspect(CLI::App& app);
RunCommand AddPerplexity(CLI::App& app);
RunCommand AddBenchKernel(CLI::App& app);
RunCommand AddBenchLatency(CLI::App& app);
RunCommand AddBenchLoad(CLI::App& app);
RunCommand AddBenchOperations(CLI::App& app);
RunCommand AddHealth(CLI::App& app);
RunCommand AddVersion(CLI::App& app);

// Prints "quatrain: MESSAGE" to stderr and returns `code`.
int Fail(ExitCode code, const absl::Status& status);

// The exit code of an error that happened after the model was read: from the
// status' own code, by the table of docs/cli.md.
ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace quatrain
