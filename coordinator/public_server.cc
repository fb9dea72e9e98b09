#include "coordinator/public_server.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/host_name.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "coordinator/reflection_option.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/resource_quota.h"

namespace quatrain {
namespace {

using ExternalConnectionType =
    grpc::ServerBuilder::experimental_type::ExternalConnectionType;

// How often health and the clocks of calls are looked at.
constexpr std::chrono::milliseconds kWatchInterval{10};
constexpr size_t kMaxServerBytes = size_t{1} << 30;

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

void SetConnectionLimits(grpc::ServerBuilder* builder) {
  const std::pair<const char*, int> arguments[] = {
      {GRPC_ARG_ALLOW_REUSEPORT, 0},
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, 256},
      {GRPC_ARG_MAX_METADATA_SIZE, 8 << 10},
      {GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(absl::Seconds(30))},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(absl::Seconds(10))},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
       Milliseconds(absl::Seconds(10))},
      {GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(absl::Minutes(30))},
      {GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, Milliseconds(absl::Minutes(10))},
  };
  for (const auto& [key, value] : arguments)
    builder->AddChannelArgument(key, value);
}

// A compressed message of kilobytes may inflate to gigabytes.
void RefuseCompression(grpc::ServerBuilder* builder) {
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
}

void SetMessageLimits(const PublicServerOptions& options,
                      grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(
      static_cast<int>(options.max_receive_bytes));
  builder->SetMaxSendMessageSize(static_cast<int>(options.max_send_bytes));
  builder->SetResourceQuota(
      grpc::ResourceQuota("quatrain-public").Resize(kMaxServerBytes));
}

absl::Status CheckReflection(const PublicServerOptions& options) {
  if (!options.reflection) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool loopback, IsLoopback(options.host));
  if (loopback) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--reflection: host ", options.host,
                   ", accepted only a host of the loopback"));
}

std::string GroupName(int port) { return absl::StrCat(HostName(), ":", port); }

void WarnAboutDefaults(const ServedModel& model) {
  if (!model.use_generation_defaults) return;
  for (const std::string& setting : model.generation.unsupported) {
    spdlog::warn("generation_config.json: {} is not applied", setting);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PublicServer>> PublicServer::Start(
    const PublicServerOptions& options, Engine* engine,
    const ServedModel& model) {
  ASSIGN_OR_RETURN(const EffectiveDefaults defaults, ResolveDefaults(model));
  RETURN_IF_ERROR(CheckReflection(options));
  ASSIGN_OR_RETURN(
      auto acceptor,
      ConnectionAcceptor::Listen({.host = options.host,
                                  .port = options.port,
                                  .max_connections = options.max_connections,
                                  .insecure = options.insecure}));
  WarnAboutDefaults(model);
  PublicServerOptions named = options;
  if (named.group.empty()) named.group = GroupName(acceptor->port());
  std::unique_ptr<PublicServer> server(
      new PublicServer(named, engine, model, defaults));
  RETURN_IF_ERROR(server->Serve(std::move(acceptor)));
  return server;
}

PublicServer::PublicServer(const PublicServerOptions& options, Engine* engine,
                           const ServedModel& model,
                           const EffectiveDefaults& defaults)
    : options_(options),
      engine_(engine),
      model_(model),
      parser_(&model_, defaults, options.max_output_tokens),
      calls_(std::make_shared<LiveCalls>()),
      inference_(&parser_, &model_, engine, calls_,
                 {.group = options.group,
                  .max_request_time = options.max_request_time,
                  .stall_timeout = options.stream_stall_timeout,
                  .max_message_bytes = options.max_send_bytes,
                  .max_pending_events = options.max_pending_events}),
      models_(&parser_, &model_, engine,
              [this] { return inference_.draining(); }) {}

PublicServer::~PublicServer() { Stop(absl::ZeroDuration()); }

// Without ports first, so that nobody sees health before it says NOT_SERVING.
absl::Status PublicServer::Serve(std::unique_ptr<ConnectionAcceptor> acceptor) {
  grpc::ServerBuilder builder;
  SetConnectionLimits(&builder);
  RefuseCompression(&builder);
  SetMessageLimits(options_, &builder);
  builder.RegisterService(&inference_);
  builder.RegisterService(&models_);
  builder.SetOption(std::make_unique<ReflectionOption>(options_.reflection));
  hand_over_ = builder.experimental().AddExternalConnectionAcceptor(
      ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  grpc::EnableDefaultHealthCheckService(true);
  server_ = builder.BuildAndStart();
  grpc::EnableDefaultHealthCheckService(false);
  acceptor_ = std::move(acceptor);
  if (!server_) return absl::InternalError("the gRPC server did not start");
  health_ = std::make_unique<Health>(server_->GetHealthCheckService());
  acceptor_->Start(hand_over_.get());
  watcher_ = std::thread([this] { Watch(); });
  spdlog::info("public API on {}:{}, in clear, reflection {}", options_.host,
               port(), options_.reflection ? "on" : "off");
  return absl::OkStatus();
}

void PublicServer::Watch() {
  while (true) {
    health_->SetServing(!inference_.draining() &&
                        TakesRequests(engine_->state().phase));
    calls_->CheckTimes(absl::Now());
    MutexLock lock(&mutex_);
    if (stopping_) return;
    wake_.WaitFor(&mutex_, kWatchInterval);
  }
}

void PublicServer::Drain() { inference_.Drain(); }

void PublicServer::Stop(absl::Duration grace) {
  if (!watcher_.joinable()) return;
  Drain();
  acceptor_->Stop();
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  server_->Wait();
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  watcher_.join();
}

}  // namespace quatrain
