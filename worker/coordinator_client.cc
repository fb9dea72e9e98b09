#include "worker/coordinator_client.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "quatrain/internal/v1/group.grpc.pb.h"

namespace quatrain {
namespace {

// For the last reply to arrive.
constexpr std::chrono::milliseconds kFarewell(500);

using internal::v1::CoordinatorMessage;
using internal::v1::GroupService;

constexpr int kMaxMessageBytes = 16 << 20;
constexpr char kExecuteMethod[] = "/quatrain.internal.v1.GroupService/Execute";

// A channel that shares its connection with no other.
std::shared_ptr<grpc::Channel> Dial(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // Neither side compresses: only the identity is enabled.
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                   arguments);
}

int64_t NowNs() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

grpc::ByteBuffer ToBuffer(const internal::v1::StepResult& result) {
  const grpc::Slice slice(result.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

// The local address that the system would talk to host:port from.
absl::StatusOr<std::string> LocalAddressTowards(const std::string& host,
                                                const std::string& port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
    return absl::UnavailableError(absl::StrCat("cannot resolve ", host));
  char name[NI_MAXHOST] = "";
  const int fd = socket(found->ai_family, SOCK_DGRAM, 0);
  sockaddr_storage local = {};
  socklen_t length = sizeof(local);
  // Connecting a datagram socket sends nothing; it only picks the route.
  const bool ok =
      fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length) == 0 &&
      getnameinfo(reinterpret_cast<sockaddr*>(&local), length, name,
                  sizeof(name), nullptr, 0, NI_NUMERICHOST) == 0;
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
  if (!ok) return absl::UnavailableError(absl::StrCat("no route to ", host));
  return std::string(name);
}

}  // namespace

CoordinatorClient::CoordinatorClient(const std::string& address,
                                     const internal::v1::Hello& hello,
                                     Callbacks callbacks)
    : address_(address),
      hello_(hello),
      callbacks_(std::move(callbacks)),
      store_([this](internal::v1::StoreRequest request) {
        internal::v1::WorkerMessage message;
        *message.mutable_store() = std::move(request);
        control_->Send(std::move(message));
      }),
      control_channel_(Dial(address)),
      plan_channel_(Dial(address)),
      beat_channel_(Dial(address)) {
  const std::shared_ptr<GroupService::Stub> stub =
      GroupService::NewStub(control_channel_);
  control_ = std::make_unique<ControlStream>(
      std::make_unique<grpc::ClientContext>(),
      [stub](auto* context, auto* reactor) {
        stub->async()->Attach(context, reactor);
      },
      [this](internal::v1::CoordinatorMessage message) { OnControl(message); },
      [this](const grpc::Status& status) { OnEnd("control", status); });
  internal::v1::WorkerMessage first;
  *first.mutable_hello() = hello_;
  control_->Send(std::move(first));
}

CoordinatorClient::~CoordinatorClient() { Close(); }

void CoordinatorClient::Close() {
  store_.Close(absl::CancelledError("the worker leaves"));
  control_->Finish(kFarewell);
  control_->Close();
  if (plans_) plans_->Close();
  if (beats_) beats_->Close();
}

std::unique_ptr<grpc::ClientContext> CoordinatorClient::IdentifiedContext()
    const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("x-quatrain-worker", hello_.worker_name());
  context->AddMetadata("x-quatrain-incarnation",
                       absl::StrCat(hello_.incarnation()));
  return context;
}

void CoordinatorClient::OpenPlansAndBeats() {
  last_beat_ns_ = NowNs();
  OpenPlans();
  OpenBeats();
}

void CoordinatorClient::OpenPlans() {
  // Plans come as bytes: their digest is of what travelled, not of what a
  // parser made of it.
  const auto stub = std::make_shared<grpc::GenericStub>(plan_channel_);
  plans_ = std::make_unique<PlanStream>(
      IdentifiedContext(),
      [stub](auto* context, auto* reactor) {
        stub->PrepareBidiStreamingCall(context, kExecuteMethod,
                                       grpc::StubOptions(), reactor);
      },
      [this](const grpc::ByteBuffer& plan) {
        callbacks_.on_plan(ToString(plan));
      },
      [this](const grpc::Status& status) { OnEnd("plan", status); });
  plans_->Send(ToBuffer(internal::v1::StepResult()));
}

void CoordinatorClient::OpenBeats() {
  const std::shared_ptr<GroupService::Stub> stub =
      GroupService::NewStub(beat_channel_);
  beats_ = std::make_unique<BeatStream>(
      IdentifiedContext(),
      [stub](auto* context, auto* reactor) {
        stub->async()->Heartbeat(context, reactor);
      },
      [this](const internal::v1::Beat&) { last_beat_ns_ = NowNs(); },
      [this](const grpc::Status& status) { OnEnd("heartbeat", status); });
}

void CoordinatorClient::OnControl(
    const internal::v1::CoordinatorMessage& message) {
  if (message.has_store()) {
    store_.OnReply(message.store());
  } else {
    callbacks_.on_control(message);
  }
}

// A server without our service is no coordinator that will be ready later: it
// is another port.
void CoordinatorClient::RefuseForWrongPort() {
  CoordinatorMessage message;
  internal::v1::Refusal* refusal = message.mutable_refusal();
  refusal->set_code(static_cast<uint32_t>(absl::StatusCode::kInvalidArgument));
  refusal->set_message(absl::StrCat(
      "coordinator ", address_, ": takes no workers on this port, perhaps it ",
      "is the public one; --coordinator wants the internal one ",
      "(--internal-port)"));
  refusal->set_do_not_retry(true);
  callbacks_.on_control(message);
}

void CoordinatorClient::OnEnd(const char* stream, const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED)
    RefuseForWrongPort();
  const absl::Status lost = absl::UnavailableError(absl::StrCat(
      "coordinator ", address_, ": the ", stream, " stream ended",
      status.error_message().empty() ? "" : ": ", status.error_message()));
  store_.Close(lost);
  callbacks_.on_lost(lost);
}

void CoordinatorClient::SendReply(internal::v1::Reply reply) {
  internal::v1::WorkerMessage message;
  *message.mutable_reply() = std::move(reply);
  control_->Send(std::move(message));
}

void CoordinatorClient::SendProgress(const internal::v1::Progress& progress) {
  internal::v1::WorkerMessage message;
  *message.mutable_progress() = progress;
  control_->Send(std::move(message));
}

void CoordinatorClient::SendLeaving(const std::string& reason) {
  internal::v1::WorkerMessage message;
  message.mutable_leaving()->set_reason(reason);
  control_->Send(std::move(message));
}

void CoordinatorClient::SendResult(const internal::v1::StepResult& result) {
  plans_->Send(ToBuffer(result));
}

void CoordinatorClient::SendBeat(const internal::v1::Beat& beat) {
  beats_->Send(beat);
}

void CoordinatorClient::Flush(std::chrono::nanoseconds timeout) {
  control_->Flush(timeout);
}

std::chrono::nanoseconds CoordinatorClient::SinceLastBeat() const {
  return std::chrono::nanoseconds(NowNs() - last_beat_ns_);
}

absl::StatusOr<std::string> CoordinatorClient::LocalHost() const {
  // "ipv4:10.0.0.1:50052", "ipv6:[::1]:50052", or what we were given.
  std::string peer = control_->peer();
  for (const char* scheme : {"ipv4:", "ipv6:"})
    peer = std::string(absl::StripPrefix(peer, scheme));
  const size_t colon = peer.rfind(':');
  if (colon == std::string::npos)
    return absl::UnavailableError(absl::StrCat(
        "cannot tell the local address of the connection to ", peer));
  std::string host = peer.substr(0, colon);
  if (host.size() > 2 && host.front() == '[')
    host = host.substr(1, host.size() - 2);
  return LocalAddressTowards(host, peer.substr(colon + 1));
}

}  // namespace quatrain
