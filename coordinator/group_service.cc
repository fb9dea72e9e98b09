#include "coordinator/group_service.h"

#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/steady_time.h"
#include "coordinator/plan_encoder.h"
#include "coordinator/queued_stream.h"
#include "coordinator/reflection_option.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "quatrain/internal/v1/group.grpc.pb.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

constexpr int kMaxConnections = 4096;  // three for each worker process
constexpr char kConnectionLost[] = "its connection closed";

// What a stream of a worker needs.
struct Desk {
  WorkerRegistry* registry;
  RendezvousStore* store;
  StepLoop* loop;
};

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

std::string MetadataOf(const grpc::CallbackServerContext& context,
                       const std::string& key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

// Who opened an Execute or Heartbeat stream.
WorkerKey KeyOf(const grpc::CallbackServerContext& context) {
  WorkerKey key = {.name = MetadataOf(context, "x-quatrain-worker")};
  const std::string text = MetadataOf(context, "x-quatrain-incarnation");
  std::from_chars(text.data(), text.data() + text.size(), key.incarnation);
  return key;
}

class ControlStream final
    : public QueuedStream<pb::WorkerMessage, pb::CoordinatorMessage> {
 public:
  explicit ControlStream(const Desk& desk) : desk_(desk) {}

 private:
  void OnMessage(const pb::WorkerMessage& message) override {
    if (worker_.name.empty()) return Introduce(message);
    // Who was refused or replaced may still talk until its stream has ended.
    if (!desk_.registry->IsCurrent(worker_, this)) return;
    if (message.has_reply()) {
      desk_.registry->Post({.kind = WorkerEvent::kReply,
                            .worker = worker_,
                            .reply = message.reply()});
    } else if (message.has_progress()) {
      desk_.registry->Post({.kind = WorkerEvent::kProgress,
                            .worker = worker_,
                            .progress = message.progress()});
    } else if (message.has_leaving()) {
      desk_.registry->Post({.kind = WorkerEvent::kLeaving,
                            .worker = worker_,
                            .reason = message.leaving().reason()});
    } else if (message.has_store()) {
      Ask(message.store());
    }
  }

  void Introduce(const pb::WorkerMessage& message) {
    if (!message.has_hello()) {
      Close(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                         "the first message is no Hello"));
      return;
    }
    const pb::Hello& hello = message.hello();
    worker_ = {hello.worker_name(), hello.incarnation()};
    const std::shared_ptr<ControlLink> self = Self();
    const auto refusal = desk_.registry->Attach(hello, self, SteadyTime::Now());
    if (!refusal) return;
    pb::CoordinatorMessage answer;
    *answer.mutable_refusal() = *refusal;
    Send(std::move(answer));
    Close(grpc::Status::OK);
  }

  void Ask(const pb::StoreRequest& request) {
    desk_.store->Ask(request, SteadyTime::Now(),
                     [self = Self()](pb::StoreReply reply) {
                       pb::CoordinatorMessage message;
                       *message.mutable_store() = std::move(reply);
                       self->Send(std::move(message));
                     });
  }

  void OnGone() override {
    desk_.registry->OnStreamGone(worker_, static_cast<ControlLink*>(this),
                                 kConnectionLost);
  }

  std::shared_ptr<ControlLink> Self() { return shared_from_this(); }

  const Desk desk_;
  WorkerKey worker_;  // empty until Hello
};

class PlanStream final
    : public QueuedStream<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  PlanStream(const Desk& desk, WorkerKey worker)
      : desk_(desk), worker_(std::move(worker)) {}

  void Open() {
    const absl::Status status =
        desk_.registry->AddPlanStream(worker_, shared_from_this());
    status.ok() ? Begin() : Refuse(ToGrpc(status));
  }

 private:
  void OnMessage(const grpc::ByteBuffer& message) override {
    const absl::Status status = TakeUp(ToString(message));
    if (status.ok()) return;
    Report(std::string(status.message()));
    Close(ToGrpc(status));
  }

  absl::Status TakeUp(const std::string& bytes) {
    ASSIGN_OR_RETURN(StepOutcome outcome, DecodeOutcome(bytes));
    if (outcome.step_id == 0) return absl::OkStatus();  // opens the stream
    RETURN_IF_ERROR(desk_.registry->CheckHosts(worker_, outcome.rank));
    desk_.loop->OnOutcome(std::move(outcome));
    return absl::OkStatus();
  }

  void OnGone() override { Report(kConnectionLost); }
  void Report(const std::string& reason) {
    desk_.registry->OnStreamGone(worker_, static_cast<PlanLink*>(this), reason);
  }

  const Desk desk_;
  const WorkerKey worker_;
};

class BeatStream final : public QueuedStream<pb::Beat, pb::Beat> {
 public:
  BeatStream(const Desk& desk, WorkerKey worker)
      : desk_(desk), worker_(std::move(worker)) {}

  void Open() {
    const absl::Status status =
        desk_.registry->AddBeatStream(worker_, shared_from_this());
    status.ok() ? Begin() : Refuse(ToGrpc(status));
  }

 private:
  void OnMessage(const pb::Beat& beat) override {
    desk_.registry->OnBeat(worker_, beat, SteadyTime::Now());
  }
  void OnGone() override {
    desk_.registry->OnStreamGone(worker_, static_cast<BeatLink*>(this),
                                 kConnectionLost);
  }

  const Desk desk_;
  const WorkerKey worker_;
};

// Plans are written as the bytes that they are, so Execute is a raw method.
using ServiceBase = pb::GroupService::WithCallbackMethod_Attach<
    pb::GroupService::WithRawCallbackMethod_Execute<
        pb::GroupService::WithCallbackMethod_Heartbeat<
            pb::GroupService::Service>>>;

class GroupServiceImpl final : public ServiceBase {
 public:
  explicit GroupServiceImpl(const Desk& desk) : desk_(desk) {}

  grpc::ServerBidiReactor<pb::WorkerMessage, pb::CoordinatorMessage>* Attach(
      grpc::CallbackServerContext*) override {
    const auto stream = std::make_shared<ControlStream>(desk_);
    stream->Begin();
    return stream.get();
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Execute(
      grpc::CallbackServerContext* context) override {
    const auto stream = std::make_shared<PlanStream>(desk_, KeyOf(*context));
    stream->Open();
    return stream.get();
  }

  grpc::ServerBidiReactor<pb::Beat, pb::Beat>* Heartbeat(
      grpc::CallbackServerContext* context) override {
    const auto stream = std::make_shared<BeatStream>(desk_, KeyOf(*context));
    stream->Open();
    return stream.get();
  }

 private:
  const Desk desk_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GroupServer>> GroupServer::Start(
    const Options& options, WorkerRegistry* registry, RendezvousStore* store,
    StepLoop* loop) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<ConnectionAcceptor> acceptor,
      ConnectionAcceptor::Listen({.host = options.host,
                                  .port = options.port,
                                  .max_connections = kMaxConnections,
                                  .insecure = options.insecure}));
  auto server = std::unique_ptr<GroupServer>(new GroupServer());
  server->service_ =
      std::make_unique<GroupServiceImpl>(Desk{registry, store, loop});
  grpc::ServerBuilder builder;
  builder.RegisterService(server->service_.get());
  builder.SetMaxReceiveMessageSize(kMaxGroupMessageBytes);
  builder.SetMaxSendMessageSize(kMaxGroupMessageBytes);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetOption(std::make_unique<ReflectionOption>(false));
  server->hand_over_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr)
    return absl::InternalError("the internal gRPC server did not start");
  server->acceptor_ = std::move(acceptor);
  server->acceptor_->Start(server->hand_over_.get());
  return server;
}

GroupServer::~GroupServer() {
  if (server_ == nullptr) return;
  if (acceptor_ != nullptr) acceptor_->Stop();
  server_->Shutdown(std::chrono::system_clock::now() +
                    std::chrono::milliseconds(500));
  server_->Wait();
}

}  // namespace quatrain
