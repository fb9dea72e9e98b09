#include "tools/group_flags.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace quatrain {
namespace {

void AddShapeFlags(CLI::App& app, GroupFlags* f) {
  app.add_option("--tp,--tensor-parallel-size", f->layout.tp,
                 "ranks that share each layer")
      ->check(CLI::Range(1, 256));
  app.add_option("--pp,--pipeline-parallel-size", f->layout.pp,
                 "stages of consecutive layers")
      ->check(CLI::Range(1, 256));
  app.add_option("--layers", f->layout.layers,
                 "layers of each stage: '0-39;40-79'");
  app.add_option("--tp-shares", f->layout.tp_shares,
                 "weights of a stage's ranks: '3,2,1;1,1'");
  app.add_option("--num-micro-batches", f->num_micro_batches,
                 "plans that alternate over the stages; 0: one a stage")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--backend", f->backend, "of the ranks")
      ->check(CLI::IsMember({"cpu", "reference"}));
  app.add_option("--isa", f->isa, "force an instruction set: avx2, avx512...");
  app.add_option("--threads", f->threads,
                 "of each rank; 0: cores / ranks of the host")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--activations", f->activations,
                 "exact, int8 (faster, less exact), or f32 (reference backend, "
                 "for checking)")
      ->check(CLI::IsMember({"exact", "int8", "f32"}));
}

void AddSizeFlags(CLI::App& app, GroupFlags* f) {
  app.add_option("--max-model-len", f->max_model_len,
                 "tokens of prompt and output; 0: the checkpoint's")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--max-num-seqs", f->max_num_seqs, "sequences at a time")
      ->check(CLI::Range(1, 4096));
  app.add_option("--max-num-batched-tokens", f->max_num_batched_tokens,
                 "tokens of one step")
      ->check(CLI::Range(1, 32768));
  app.add_option("--block-size", f->block_size, "tokens of a KV block")
      ->check(CLI::IsMember({8, 16, 32, 64, 128}));
  app.add_option("--num-kv-blocks", f->max_num_blocks,
                 "at most so many KV blocks; 0: what the budgets hold")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--kv-cache-dtype", f->kv_cache_dtype, "auto is f16 on CPUs")
      ->check(CLI::IsMember({"auto", "f16", "bf16", "f32"}));
}

void AddServerFlags(CLI::App& app, GroupFlags* f) {
  app.add_option("--host", f->host, "of the public port");
  app.add_option("--port", f->port, "public gRPC; 0: any free one")
      ->check(CLI::Range(0, 65535));
  app.add_option("--internal-host", f->internal_host, "that workers dial");
  app.add_option("--internal-port", f->internal_port, "0: any free one")
      ->check(CLI::Range(0, 65535));
  app.add_flag("--insecure", f->insecure,
               "allow addresses that are not this host's, in clear");
  app.add_flag("--reflection", f->reflection, "serve gRPC reflection");
  app.add_option("--ports-file", f->ports_file, "write the ports there, JSON");
  app.add_option("--served-model-name", f->served_model_name,
                 "default: the folder's name");
  app.add_option("--generation-config", f->generation_config,
                 "none: leave the checkpoint's sampling defaults out")
      ->check(CLI::IsMember({"auto", "none"}));
  app.add_option("--max-connections", f->max_connections, "of clients")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--max-output-tokens", f->max_output_tokens,
                 "caps max_tokens; 0: the context alone")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--max-receive-bytes", f->max_receive_bytes,
                 "of a request message")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--workers", f->workers,
                 "names that may register, a,b,c; default: any");
  app.add_option("--max-queue", f->max_queue, "requests that wait")
      ->check(CLI::Range(1, 1 << 30));
}

void AddTimeFlags(CLI::App& app, GroupFlags* f) {
  app.add_option("--worker-timeout", f->worker_timeout_s,
                 "seconds without a beat until a worker counts as lost")
      ->check(CLI::Range(0.01, 1e6));
  app.add_option("--step-timeout", f->step_timeout_s,
                 "seconds that a rank waits for a peer inside a step")
      ->check(CLI::Range(0.01, 1e6));
  app.add_option("--max-request-time", f->max_request_time_s, "seconds")
      ->check(CLI::Range(0.01, 1e6));
  app.add_option("--stream-stall-timeout", f->stream_stall_timeout_s,
                 "seconds until a client that reads nothing is cancelled")
      ->check(CLI::Range(0.01, 1e6));
  app.add_option("--drain-timeout", f->drain_timeout_s,
                 "seconds that running requests get after SIGTERM")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--record-plans", f->record_plans, "file for every plan");
  app.add_option("--inject-result-delay-ms", f->inject_result_delay_ms,
                 "for tests: results are taken up so much later")
      ->group("");
  app.add_option("--log-level", f->log_level,
                 "trace, debug, info, warn, error");
}

}  // namespace

void AddGroupFlags(CLI::App& app, GroupFlags* flags) {
  app.add_option("MODEL", flags->model, "model folder")->required();
  AddShapeFlags(app, flags);
  AddSizeFlags(app, flags);
  AddServerFlags(app, flags);
  AddTimeFlags(app, flags);
}

absl::Status WritePortsFile(const std::string& path, int port,
                            int internal_port) {
  const std::string scratch = path + ".part";
  std::ofstream out(scratch);
  out << absl::StrCat("{\"port\": ", port,
                      ", \"internal_port\": ", internal_port, "}\n");
  out.close();
  std::error_code error;
  // A reader sees the whole file or none.
  if (out) std::filesystem::rename(scratch, path, error);
  if (!out || error) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ports-file: cannot write ", path));
  }
  return absl::OkStatus();
}

}  // namespace quatrain
