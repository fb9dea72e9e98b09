#include "tools/coordinator_process.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/version.h"

namespace quatrain {
namespace {

// Ids that may be drawn: those of the tokenizer, and those that end a text,
// which a file may name without the tokenizer knowing them.
int NumTokenIds(const OpenedModel& opened) {
  int count = opened.tokenizer->vocab_size();
  for (const int32_t id :
       EosTokenIds(opened.model.config, opened.model.generation,
                   opened.tokenizer->eos_token_id()))
    count = std::max(count, id + 1);
  return count;
}

StepLoop::Options LoopOptions(const GroupFlags& flags, const Layout& layout,
                              int max_model_len) {
  StepLoop::Options options;
  options.scheduler.max_num_seqs = flags.max_num_seqs;
  options.scheduler.max_num_batched_tokens = flags.max_num_batched_tokens;
  options.scheduler.max_model_len = max_model_len;
  options.scheduler.num_micro_batches =
      flags.num_micro_batches > 0 ? flags.num_micro_batches : layout.pp_size();
  options.block_size = flags.block_size;
  options.max_queue = flags.max_queue;
  options.inject_result_delay =
      absl::Milliseconds(flags.inject_result_delay_ms);
  options.record_plans = flags.record_plans;
  return options;
}

WorkerGroupOptions GroupOptions(const GroupFlags& flags, const Layout& layout,
                                const OpenedModel& opened) {
  WorkerGroupOptions options;
  options.server = {.host = flags.internal_host,
                    .port = flags.internal_port,
                    .insecure = flags.insecure};
  options.build_id = kBuildId;
  options.model_digest = DigestText(opened.model.digest);
  options.workers = absl::StrSplit(flags.workers, ',', absl::SkipEmpty());
  options.layout = layout;
  options.kv_cache_dtype =
      flags.kv_cache_dtype == "auto" ? "f16" : flags.kv_cache_dtype;
  options.activations = flags.activations;
  options.backend = flags.backend;
  options.isa = flags.isa;
  options.threads = flags.threads;
  options.max_num_blocks = flags.max_num_blocks;
  options.num_token_ids = NumTokenIds(opened);
  options.worker_timeout = absl::Seconds(flags.worker_timeout_s);
  options.step_timeout = absl::Seconds(flags.step_timeout_s);
  return options;
}

absl::Status CheckFlags(const GroupFlags& flags) {
  if (flags.activations == "f32" && flags.backend != "reference") {
    return absl::InvalidArgumentError(
        "--activations f32: only --backend reference computes so");
  }
  // Without touching what a recording before this one left.
  if (!flags.record_plans.empty() &&
      !std::ofstream(flags.record_plans, std::ios::app)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--record-plans: cannot write ", flags.record_plans, ": ",
        std::strerror(errno), ", expected a file that can be written"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorProcess>> CoordinatorProcess::Open(
    const GroupFlags& flags, ExitCode* exit_code) {
  *exit_code = kExitUsage;
  RETURN_IF_ERROR(CheckFlags(flags));
  *exit_code = kExitModelUnreadable;
  ASSIGN_OR_RETURN(OpenedModel opened, OpenServedModel(flags.model));
  *exit_code = kExitUsage;
  std::unique_ptr<CoordinatorProcess> process(
      new CoordinatorProcess(flags, std::move(opened)));
  ASSIGN_OR_RETURN(
      process->layout_,
      MakeLayout(flags.layout, process->opened_.model.config.num_layers));
  ASSIGN_OR_RETURN(process->served_,
                   MakeServedModel(process->opened_, flags, process->layout_));
  return process;
}

absl::Status CoordinatorProcess::Listen(ExitCode* exit_code) {
  const absl::Status status = StartServers();
  *exit_code = status.code() == absl::StatusCode::kInvalidArgument
                   ? kExitUsage
                   : kExitFailure;
  return status;
}

absl::Status CoordinatorProcess::StartServers() {
  const GroupFlags& flags = flags_;
  const StepLoop::Options loop_options =
      LoopOptions(flags, layout_, served_.max_model_len);
  spdlog::info("version {}, revision {}, build {}", kVersion, kGitRevision,
               kBuildId);
  loop_ = std::make_unique<StepLoop>(loop_options);
  ASSIGN_OR_RETURN(group_,
                   WorkerGroup::Start(GroupOptions(flags, layout_, opened_),
                                      loop_options, loop_.get()));
  spdlog::info("internal gRPC on {}:{}, in clear, for workers",
               flags.internal_host, internal_port());
  PublicServerOptions options;
  options.host = flags.host;
  options.port = flags.port;
  options.insecure = flags.insecure;
  options.reflection = flags.reflection;
  options.max_connections = flags.max_connections;
  options.max_output_tokens = flags.max_output_tokens;
  options.max_receive_bytes = static_cast<size_t>(flags.max_receive_bytes);
  options.max_request_time = absl::Seconds(flags.max_request_time_s);
  options.stream_stall_timeout = absl::Seconds(flags.stream_stall_timeout_s);
  ASSIGN_OR_RETURN(server_, PublicServer::Start(options, loop_.get(), served_));
  if (flags.ports_file.empty()) return absl::OkStatus();
  return WritePortsFile(flags.ports_file, port(), internal_port());
}

void CoordinatorProcess::Stop(absl::Duration grace) {
  server_->Drain();
  group_->Stop(grace);
}

}  // namespace quatrain
