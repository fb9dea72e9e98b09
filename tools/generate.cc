#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/json.h"
#include "base/status_macros.h"
#include "model/tokenizer/unicode.h"
#include "quatrain/v1/inference.grpc.pb.h"
#include "tools/child_process.h"
#include "tools/command.h"
#include "tools/health_client.h"
#include "tools/text_file.h"

namespace quatrain {
namespace {

struct Options {
  std::string server;
  std::string model;
  std::string prompt;
  std::string prompt_file;
  std::optional<float> temperature, top_p;
  std::optional<uint32_t> top_k, max_tokens;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool stats = false;
  int tp = 1, pp = 1;
  std::string backend = "cpu";
  std::string max_memory;
  int max_model_len = 0;
  int threads = 0;
  int start_timeout_s = 600;
};

absl::StatusOr<std::string> ReadPrompt(const Options& options) {
  if (options.prompt_file.empty() && !IsValidUtf8(options.prompt))
    return absl::InvalidArgumentError("--prompt: not UTF-8");
  if (options.prompt_file.empty() && options.prompt.empty())
    return absl::InvalidArgumentError(
        "generate: give --prompt or --prompt-file");
  if (options.prompt_file.empty()) return options.prompt;
  return ReadTextFile(options.prompt_file);
}

// CLI11 takes -1 for the largest unsigned number.
template <typename Unsigned>
CLI::Validator WholeNumber() {
  const std::string range =
      absl::StrCat("0..", std::numeric_limits<Unsigned>::max());
  return CLI::Validator(
      [range](const std::string& text) -> std::string {
        Unsigned value;
        if (absl::SimpleAtoi(text, &value)) return "";
        return absl::StrCat(text, ", expected a whole number in ", range);
      },
      range);
}

v1::GenerateRequest MakeRequest(const Options& options,
                                const std::string& prompt) {
  v1::GenerateRequest request;
  request.set_text(prompt);
  v1::SamplingParams& sampling = *request.mutable_sampling();
  if (options.temperature) sampling.set_temperature(*options.temperature);
  if (options.top_p) sampling.set_top_p(*options.top_p);
  if (options.top_k) sampling.set_top_k(*options.top_k);
  if (options.seed) sampling.set_seed(*options.seed);
  v1::StoppingParams& stopping = *request.mutable_stopping();
  if (options.max_tokens) stopping.set_max_tokens(*options.max_tokens);
  for (const std::string& stop : options.stop) stopping.add_stop(stop);
  if (options.ignore_eos) stopping.set_ignore_eos(true);
  return request;
}

double Seconds(const google::protobuf::Duration& d) {
  return static_cast<double>(d.seconds()) + d.nanos() * 1e-9;
}

void PrintStats(const v1::Completed& completed, double first_text_s) {
  const v1::Usage& usage = completed.usage();
  const double decode = Seconds(completed.timings().decode());
  std::fprintf(stderr, "prompt %u tokens, output %u tokens",
               usage.prompt_tokens(), usage.completion_tokens());
  std::fprintf(stderr, ", time to first token %.1f ms", first_text_s * 1e3);
  if (usage.completion_tokens() > 1 && decode > 0) {
    std::fprintf(stderr, ", %.1f tokens/s",
                 (usage.completion_tokens() - 1) / decode);
  }
  std::fprintf(stderr, "\n");
}

int ReportFailure(const grpc::Status& status) {
  const absl::Status error(static_cast<absl::StatusCode>(status.error_code()),
                           absl::StrCat(status.error_message()));
  const bool bad_request =
      status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
      status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
  const bool temporary =
      status.error_code() == grpc::StatusCode::UNAVAILABLE ||
      status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  return Fail(bad_request ? kExitUsage
              : temporary ? kExitTemporary
                          : kExitFailure,
              error);
}

// Writes the prompt, once the server has answered, and the text as it arrives.
int Stream(const std::string& address, const Options& options,
           const std::string& prompt) {
  const auto stub = v1::InferenceService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto start = std::chrono::steady_clock::now();
  const auto reader =
      stub->GenerateStream(&context, MakeRequest(options, prompt));

  v1::GenerateStreamResponse response;
  std::optional<double> first_text_s;
  std::optional<v1::Completed> completed;
  bool answered = false;
  while (reader->Read(&response)) {
    if (!response.has_delta() && !response.has_completed()) continue;
    if (!std::exchange(answered, true)) std::fputs(prompt.c_str(), stdout);
    if (response.has_delta()) {
      if (!first_text_s) {
        first_text_s = std::chrono::duration<double>(
                           std::chrono::steady_clock::now() - start)
                           .count();
      }
      std::fputs(response.delta().text().c_str(), stdout);
      std::fflush(stdout);
    }
    if (response.has_completed()) completed = response.completed();
  }
  if (answered) std::fputs("\n", stdout);
  std::fflush(stdout);
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return ReportFailure(status);
  if (options.stats && completed)
    PrintStats(*completed, first_text_s.value_or(0));
  return kExitOk;
}

// A server of our own on loopback ports of the system's choice.
class OwnServer {
 public:
  static absl::StatusOr<OwnServer> Start(const Options& options) {
    std::string ports = (std::filesystem::temp_directory_path() /
                         absl::StrCat("quatrain-", getpid(), "-ports.json"))
                            .string();
    std::filesystem::remove(ports);
    std::vector<std::string> arguments = {"serve",
                                          options.model,
                                          "--host",
                                          "127.0.0.1",
                                          "--port",
                                          "0",
                                          "--internal-port",
                                          "0",
                                          "--ports-file",
                                          ports,
                                          "--tp",
                                          absl::StrCat(options.tp),
                                          "--pp",
                                          absl::StrCat(options.pp),
                                          "--backend",
                                          options.backend,
                                          "--max-model-len",
                                          absl::StrCat(options.max_model_len),
                                          "--threads",
                                          absl::StrCat(options.threads),
                                          "--log-level",
                                          "warn"};
    if (!options.max_memory.empty()) {
      arguments.push_back("--max-memory");
      arguments.push_back(options.max_memory);
    }
    ASSIGN_OR_RETURN(
        ChildProcess process,
        ChildProcess::StartSelf(arguments, ChildProcess::Output::kInherit));
    return OwnServer(std::move(process), std::move(ports));
  }

  // Waits until the server serves; fills *exit_code where it ended instead.
  absl::StatusOr<std::string> WaitUntilReady(absl::Duration timeout,
                                             int* exit_code) {
    const absl::Cleanup remove = [this] {
      std::error_code ignored;
      std::filesystem::remove(ports_file_, ignored);
    };
    const absl::Time deadline = absl::Now() + timeout;
    while (absl::Now() < deadline) {
      *exit_code = process_.Poll();
      if (*exit_code >= 0) return absl::AbortedError("the server ended");
      const std::string address = Address();
      if (!address.empty() &&
          CheckHealth(
              grpc::CreateChannel(address, grpc::InsecureChannelCredentials()),
              "")
              .ok())
        return address;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return absl::DeadlineExceededError(absl::StrCat(
        "the server did not become ready in ", absl::FormatDuration(timeout)));
  }

 private:
  OwnServer(ChildProcess process, std::string ports_file)
      : process_(std::move(process)), ports_file_(std::move(ports_file)) {}

  std::string Address() const {
    std::ifstream in(ports_file_);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    const auto json = ParseJson(text, {}, ports_file_);
    if (!json.ok()) return "";
    return absl::StrCat("127.0.0.1:", (*json)["port"].get<int>());
  }

  ChildProcess process_;
  std::string ports_file_;
};

int Run(const Options& options) {
  if (options.server.empty() == options.model.empty()) {
    return Fail(kExitUsage,
                absl::InvalidArgumentError(
                    "generate: give --server HOST:PORT or --model DIR"));
  }
  const absl::StatusOr<std::string> prompt = ReadPrompt(options);
  if (!prompt.ok()) return Fail(kExitUsage, prompt.status());
  if (!options.server.empty()) return Stream(options.server, options, *prompt);

  absl::StatusOr<OwnServer> server = OwnServer::Start(options);
  if (!server.ok()) return Fail(kExitFailure, server.status());
  int exit_code = -1;
  const absl::StatusOr<std::string> address = server->WaitUntilReady(
      absl::Seconds(options.start_timeout_s), &exit_code);
  if (!address.ok()) {
    if (exit_code > 0) return exit_code;  // it has said why
    return Fail(kExitFailure, address.status());
  }
  return Stream(*address, options, *prompt);
}

}  // namespace

RunCommand AddGenerate(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::Option* server =
      app.add_option("--server", o->server, "HOST:PORT of a running server");
  CLI::Option* model = app.add_option("--model", o->model,
                                      "model folder: starts a server itself")
                           ->excludes(server);
  CLI::Option* prompt =
      app.add_option("-p,--prompt", o->prompt, "the text to go on from");
  app.add_option("--prompt-file", o->prompt_file, "the same from a file")
      ->excludes(prompt);
  app.add_option("--temperature", o->temperature, "0 is greedy");
  app.add_option("--top-p", o->top_p, "in (0, 1]");
  app.add_option("--top-k", o->top_k, "0 is off")
      ->check(WholeNumber<uint32_t>());
  app.add_option("--seed", o->seed, "repeats the same draws")
      ->check(WholeNumber<uint64_t>());
  app.add_option("--max-tokens", o->max_tokens, "at most so many tokens")
      ->check(WholeNumber<uint32_t>());
  app.add_option("--stop", o->stop, "text that ends the output");
  app.add_flag("--ignore-eos", o->ignore_eos, "go on after the end of text");
  app.add_flag("--stats", o->stats, "times and tokens per second, to stderr");
  app.add_option("--tp,--tensor-parallel-size", o->tp, "with --model")
      ->check(CLI::Range(1, 256))
      ->needs(model);
  app.add_option("--pp,--pipeline-parallel-size", o->pp, "with --model")
      ->check(CLI::Range(1, 256))
      ->needs(model);
  app.add_option("--backend", o->backend, "with --model")
      ->check(CLI::IsMember({"cpu", "reference"}))
      ->needs(model);
  app.add_option("--max-memory", o->max_memory, "with --model: cpu=8GiB")
      ->needs(model);
  app.add_option("--max-model-len", o->max_model_len, "with --model")
      ->check(CLI::Range(0, 1 << 24))
      ->needs(model);
  app.add_option("--threads", o->threads, "of each rank, with --model")
      ->check(CLI::Range(0, 1024))
      ->needs(model);
  app.add_option("--start-timeout", o->start_timeout_s,
                 "seconds that a server of our own may take to start")
      ->needs(model);
  return [o] { return Run(*o); };
}

}  // namespace quatrain
