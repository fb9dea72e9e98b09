#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/logging.h"
#include "base/num_cores.h"
#include "base/status_macros.h"
#include "kernels/device_memory.h"
#include "tools/bench_latency_table.h"
#include "tools/command.h"
#include "tools/local_flags.h"
#include "tools/memory_read.h"
#include "worker/local_driver.h"
#include "worker/local_group.h"
#include "worker/process_memory.h"

namespace quatrain {
namespace {

struct Flags {
  std::string model;
  std::vector<int> batch_sizes = {1};
  std::vector<int> input_lens = {32, 512, 2048};
  int output_len = 64;
  int num_iters = 3;
  int max_num_batched_tokens = 512;
  LocalFlags local;
  std::string output = "md";
};

// Reads memory that no cache holds, by as many threads as there are cores.
class MemoryReader {
 public:
  static constexpr int64_t kBytes = int64_t{1} << 30;

  absl::Status Start() {
    constexpr int64_t kPiece = 16 << 20;
    ASSIGN_OR_RETURN(buffer_, memory_.Allocate(kBytes, "read"));
    const int threads = pool_.threads();
    const int64_t share = kPiece / threads / 64 * 64;
    pieces_.resize(kBytes / kPiece);
    for (size_t i = 0; i < pieces_.size(); ++i)
      for (int t = 0; t < threads; ++t)
        pieces_[i].push_back({buffer_.data() + i * kPiece + t * share,
                              static_cast<size_t>(share)});
    pool_.Run([&](int thread) {  // first touch by who reads it
      for (const ReadPiece& piece : pieces_)
        std::fill_n(const_cast<std::byte*>(piece[thread].data()),
                    piece[thread].size(), std::byte{1});
    });
    return absl::OkStatus();
  }

  // Bytes per second: of the best way to read, on average.
  double Measure() { return TimeRead(pieces_, pool_, 0.5).mean; }

 private:
  DeviceMemory memory_{0};
  DeviceBuffer buffer_;
  ThreadPool pool_{NumCores(), /*spin=*/true};
  std::vector<ReadPiece> pieces_;
};

int LongestSequence(const Flags& flags) {
  return *std::ranges::max_element(flags.input_lens) + flags.output_len;
}

absl::Status CheckLengths(const Flags& flags, const ModelConfig& config) {
  const int tokens = LongestSequence(flags);
  if (tokens <= config.max_model_len) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--input-len and --output-len: ", tokens,
                   " tokens, the model's context is ", config.max_model_len));
}

absl::StatusOr<std::unique_ptr<LocalGroup>> StartGroup(const Flags& flags,
                                                       int num_layers) {
  ASSIGN_OR_RETURN(EngineSettings settings,
                   MakeLocalSettings(flags.local, num_layers));
  settings.max_num_seqs = *std::ranges::max_element(flags.batch_sizes);
  settings.max_model_len = LongestSequence(flags);
  settings.max_num_batched_tokens =
      std::max(flags.max_num_batched_tokens, settings.max_num_seqs);
  settings.num_micro_batches = settings.layout.pp_size();
  settings.plans_in_flight = settings.num_micro_batches + 1;
  return LocalGroup::Start(flags.model, settings);
}

std::vector<LocalRequest> RandomRequests(int batch_size, int input_len,
                                         int output_len, int vocab_size,
                                         uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<LocalRequest> requests(batch_size);
  for (LocalRequest& request : requests) {
    request.num_tokens = output_len;
    for (int i = 0; i < input_len; ++i)
      request.prompt.push_back(static_cast<int32_t>(random() % vocab_size));
  }
  return requests;
}

struct Rates {
  double prefill = 0, decode = 0;  // tokens per second
};

// Prefill: until every sequence has its first token, and nobody more. Decode:
// from then on, all of them together.
absl::StatusOr<Rates> RunOnce(LocalGroup& group,
                              const std::vector<LocalRequest>& requests,
                              int chunk_tokens) {
  const size_t batch_size = requests.size();
  std::vector<int> drawn(batch_size);
  size_t started = 0;
  int64_t counted = 0;
  double first = 0, last = 0;
  const auto on_token = [&](size_t index) {
    const bool decoding = started == batch_size;
    if (++drawn[index] == 1 && ++started == batch_size) first = SteadySeconds();
    if (!decoding) return;
    ++counted;
    last = SteadySeconds();
  };
  const double start = SteadySeconds();
  RETURN_IF_ERROR(
      RunLocally(group, requests,
                 {.chunk_tokens = chunk_tokens, .on_token = on_token})
          .status());
  Rates rates;
  rates.prefill = static_cast<double>(batch_size * requests[0].prompt.size()) /
                  (first - start);
  if (counted > 0) rates.decode = static_cast<double>(counted) / (last - first);
  return rates;
}

// What a step that decodes all sequences reads, half way through.
int64_t DecodeBytes(const LocalGroup& group, int batch_size, int tokens) {
  int64_t bytes = 0;
  for (const std::unique_ptr<Rank>& rank : group.ranks()) {
    const int64_t kv_per_token =
        rank->memory_plan().kv_bytes_per_block() / group.settings().block_size;
    bytes += rank->step_weights_bytes() + kv_per_token * tokens * batch_size;
  }
  return bytes;
}

// Of all linears for one token: a multiplication and an addition a weight.
double PrefillOps(const ModelConfig& config) {
  const double attention =
      (2.0 * config.num_q_heads + 2.0 * config.num_kv_heads) * config.head_dim;
  return 2.0 * config.num_layers * config.hidden_size *
         (attention + 3.0 * config.intermediate_size);
}

// The read is measured before and after each run: machines that others use are
// faster at one time than at another.
absl::StatusOr<LatencyLine> Measure(LocalGroup& group, MemoryReader& reader,
                                    const Flags& flags, int batch_size,
                                    int input_len) {
  LatencyLine line{.batch_size = batch_size,
                   .prefill_length = input_len,
                   .decode_length = flags.output_len};
  const int vocab_size = group.model().config.vocab_size;
  double before = reader.Measure();
  for (int i = 0; i < flags.num_iters; ++i) {
    const auto requests = RandomRequests(batch_size, input_len,
                                         flags.output_len, vocab_size, i + 1);
    ASSIGN_OR_RETURN(
        const Rates rates,
        RunOnce(group, requests, group.settings().max_num_batched_tokens));
    line.prefill_tokens_per_s =
        std::max(line.prefill_tokens_per_s, rates.prefill);
    const double after = reader.Measure();
    if (rates.decode > line.decode_tokens_per_s) {
      line.decode_tokens_per_s = rates.decode;
      line.read_bytes_per_s = (before + after) / 2;
    }
    before = after;
  }
  line.memory_bytes = AnonymousBytes() - MemoryReader::kBytes;
  line.decode_bytes =
      DecodeBytes(group, batch_size, input_len + flags.output_len / 2);
  line.prefill_ops = PrefillOps(group.model().config);
  return line;
}

int Run(const Flags& flags) {
  if (!StartLogging("warn", "bench").ok()) return kExitFailure;
  const absl::StatusOr<Model> model = OpenModel(flags.model);
  if (!model.ok()) return Fail(kExitModelUnreadable, model.status());
  const absl::Status lengths = CheckLengths(flags, model->config);
  if (!lengths.ok()) return Fail(kExitUsage, lengths);
  MemoryReader reader;
  const absl::Status started = reader.Start();
  if (!started.ok()) return Fail(ExitCodeOf(started), started);
  auto group = StartGroup(flags, model->config.num_layers);
  if (!group.ok()) return Fail(ExitCodeOf(group.status()), group.status());
  std::vector<LatencyLine> lines;
  for (const int batch_size : flags.batch_sizes) {
    for (const int input_len : flags.input_lens) {
      std::fprintf(stderr, "\rbatch size %d, prefill length %d   ", batch_size,
                   input_len);
      auto line = Measure(**group, reader, flags, batch_size, input_len);
      if (!line.ok()) return Fail(ExitCodeOf(line.status()), line.status());
      lines.push_back(*line);
    }
  }
  std::fprintf(stderr, "\n");
  const Backend& backend = (*group)->ranks()[0]->backend();
  std::printf(
      "%s",
      LatencyTable(lines,
                   absl::StrCat(flags.model, ", ", (*group)->ranks().size(),
                                " ranks of ", backend.Description()),
                   flags.output)
          .c_str());
  return kExitOk;
}

}  // namespace

RunCommand AddBenchLatency(CLI::App& app) {
  auto f = std::make_shared<Flags>();
  app.add_option("MODEL", f->model, "model folder")->required();
  app.add_option("--batch-size", f->batch_sizes, "sequences; default 1")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  app.add_option("--input-len", f->input_lens,
                 "tokens of a prompt; default 32,512,2048")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--output-len", f->output_len, "tokens drawn; default 64")
      ->check(CLI::Range(2, 1 << 20));
  app.add_option("--num-iters", f->num_iters, "runs, of which the best counts")
      ->check(CLI::Range(1, 1000));
  app.add_option("--max-num-batched-tokens", f->max_num_batched_tokens,
                 "tokens of one step")
      ->check(CLI::Range(1, 32768));
  AddLocalFlags(app, {"exact", "int8"}, &f->local);
  app.add_option("-o,--output", f->output, "md, csv or json; default md")
      ->check(CLI::IsMember({"md", "csv", "json"}));
  return [f] { return Run(*f); };
}

}  // namespace quatrain
