// quatrain: one executable, a subcommand for each job (docs/cli.md).

#include <cctype>
#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "tools/command.h"

namespace quatrain {
namespace {

// --max-model-len is also read from QUATRAIN_MAX_MODEL_LEN.
void ReadFlagsFromEnvironment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option->get_lnames()[0] == "help")
      continue;
    std::string name = "QUATRAIN_" + option->get_lnames()[0];
    for (char& c : name)
      c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
    option->envname(name);
  }
}

void AddSubcommand(CLI::App& parent, const std::string& name,
                   const std::string& description, RunCommand (*add)(CLI::App&),
                   RunCommand* chosen) {
  CLI::App* app = parent.add_subcommand(name, description);
  RunCommand run = add(*app);
  ReadFlagsFromEnvironment(*app);
  app->callback([chosen, run] { *chosen = run; });
}

// CLI11 would say only that a subcommand is missing.
int RefuseUnknownSubcommand(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return kExitOk;
  std::string names;
  for (const CLI::App* subcommand : app.get_subcommands(nullptr)) {
    if (subcommand->get_name() == argv[1]) {
      if (subcommand->get_subcommands(nullptr).empty()) return kExitOk;
      return RefuseUnknownSubcommand(*subcommand, argc - 1, argv + 1);
    }
    names += " " + subcommand->get_name();
  }
  return Fail(kExitUsage,
              absl::InvalidArgumentError(absl::StrCat(
                  "no subcommand \"", argv[1], "\", expected one of", names)));
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is an error, not a death
  CLI::App app{"Quatrain serves 4-bit AWQ language models over many devices."};
  app.require_subcommand(1);
  RunCommand chosen;
  AddSubcommand(app, "serve", "coordinator and local ranks as one process tree",
                AddServe, &chosen);
  AddSubcommand(app, "coordinator", "takes requests, decides every step",
                AddCoordinator, &chosen);
  AddSubcommand(app, "worker", "hosts ranks, dials a coordinator", AddWorker,
                &chosen);
  AddSubcommand(app, "generate", "text from a server, or from a model folder",
                AddGenerate, &chosen);
  AddSubcommand(app, "inspect", "what a model folder holds", AddInspect,
                &chosen);
  AddSubcommand(app, "perplexity", "of a model on a text file", AddPerplexity,
                &chosen);
  CLI::App* bench = app.add_subcommand("bench", "measurements");
  bench->require_subcommand(1);
  AddSubcommand(*bench, "kernel", "time and bytes of the CPU's products",
                AddBenchKernel, &chosen);
  AddSubcommand(*bench, "latency", "prefill and decode of a model, by length",
                AddBenchLatency, &chosen);
  AddSubcommand(*bench, "load", "how fast a rank's weights are packed",
                AddBenchLoad, &chosen);
  AddSubcommand(*bench, "operations",
                "time of the CPU's attention, head, norm and barrier",
                AddBenchOperations, &chosen);
  AddSubcommand(app, "health", "asks a server's health service", AddHealth,
                &chosen);
  AddSubcommand(app, "version", "of this build", AddVersion, &chosen);

  if (const int code = RefuseUnknownSubcommand(app, argc, argv);
      code != kExitOk)
    return code;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11 reports by exceptions
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    return Fail(kExitUsage, absl::InvalidArgumentError(absl::StrCat(
                                error.what(), " (--help lists all flags)")));
  }
  return chosen();
}

}  // namespace
}  // namespace quatrain

int main(int argc, char** argv) { return quatrain::Main(argc, argv); }
