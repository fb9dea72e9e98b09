#include <cmath>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "model/tokenizer/tokenizer.h"
#include "tools/command.h"
#include "tools/local_flags.h"
#include "tools/text_file.h"
#include "worker/local_driver.h"
#include "worker/local_group.h"

namespace quatrain {
namespace {

struct Flags {
  std::string model;
  std::string file;
  int window = 0;  // 0 = the context
  int max_windows = 0;
  LocalFlags local;
  bool per_window = false;
};

// On failure `*exit_code` says what the process should end with.
absl::StatusOr<std::vector<int32_t>> ReadTokens(const Flags& flags,
                                                ExitCode* exit_code) {
  *exit_code = kExitModelUnreadable;
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                   Tokenizer::Load(flags.model));
  *exit_code = kExitUsage;
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(flags.file));
  return tokenizer->Encode(text, /*add_special_tokens=*/true);
}

absl::StatusOr<std::unique_ptr<LocalGroup>> StartGroup(const Flags& flags,
                                                       int num_layers,
                                                       int window) {
  ASSIGN_OR_RETURN(EngineSettings settings,
                   MakeLocalSettings(flags.local, num_layers));
  settings.max_num_seqs = 1;
  settings.max_model_len = window;
  return LocalGroup::Start(flags.model, settings);
}

// Mean negative log-likelihood of ids[1..].
absl::StatusOr<double> ScoreWindow(LocalGroup& group,
                                   std::span<const int32_t> ids) {
  ASSIGN_OR_RETURN(const std::vector<float> logprobs, ScoreTokens(group, ids));
  double sum = 0;
  for (const float logprob : logprobs) sum -= logprob;
  return sum / static_cast<double>(logprobs.size());
}

absl::Status Measure(const Flags& flags, LocalGroup& group,
                     std::span<const int32_t> ids, size_t window) {
  double sum = 0;
  int64_t scored = 0;
  int windows = 0;
  for (size_t at = 0; at + window <= ids.size(); at += window) {
    if (flags.max_windows > 0 && windows == flags.max_windows) break;
    ASSIGN_OR_RETURN(const double nll,
                     ScoreWindow(group, ids.subspan(at, window)));
    sum += nll * static_cast<double>(window - 1);
    scored += static_cast<int64_t>(window) - 1;
    ++windows;
    if (flags.per_window) std::printf("%.9f\n", nll);
    std::fprintf(stderr, "\rwindow %d, perplexity so far %.4f", windows,
                 std::exp(sum / static_cast<double>(scored)));
  }
  std::fprintf(stderr, "\n");
  if (windows == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(flags.file, ": ", ids.size(),
                     " tokens, expected at least one window of ", window));
  }
  std::printf("perplexity %.6f over %lld tokens in %d windows of %zu\n",
              std::exp(sum / static_cast<double>(scored)),
              static_cast<long long>(scored), windows, window);
  return absl::OkStatus();
}

int Run(const Flags& flags) {
  if (!StartLogging("warn", "perplexity").ok()) return kExitFailure;
  const absl::StatusOr<Model> model = OpenModel(flags.model);
  if (!model.ok()) return Fail(kExitModelUnreadable, model.status());
  const int window =
      flags.window > 0 ? flags.window : model->config.max_model_len;
  if (window < 2 || window > model->config.max_model_len) {
    return Fail(kExitUsage, absl::InvalidArgumentError(absl::StrCat(
                                "--window: ", window, ", expected 2..",
                                model->config.max_model_len)));
  }
  ExitCode exit_code = kExitFailure;
  const absl::StatusOr<std::vector<int32_t>> ids =
      ReadTokens(flags, &exit_code);
  if (!ids.ok()) return Fail(exit_code, ids.status());
  auto group = StartGroup(flags, model->config.num_layers, window);
  if (!group.ok()) return Fail(ExitCodeOf(group.status()), group.status());
  const absl::Status status =
      Measure(flags, **group, *ids, static_cast<size_t>(window));
  return status.ok() ? kExitOk : Fail(ExitCodeOf(status), status);
}

}  // namespace

RunCommand AddPerplexity(CLI::App& app) {
  auto f = std::make_shared<Flags>();
  app.add_option("MODEL", f->model, "model folder")->required();
  app.add_option("FILE", f->file, "UTF-8 text")->required();
  app.add_option("--window", f->window,
                 "tokens; windows do not overlap, the first token of each is "
                 "not scored; 0: the context");
  app.add_option("--max-windows", f->max_windows, "0: all of the file");
  app.add_flag("--per-window", f->per_window,
               "print the mean negative log-likelihood of every window");
  app.add_option("--backend", f->local.backend)
      ->check(CLI::IsMember({"cpu", "reference"}));
  AddLocalFlags(app, {"exact", "int8", "f32"}, &f->local);
  return [f] { return Run(*f); };
}

}  // namespace quatrain
