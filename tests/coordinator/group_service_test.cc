#include "coordinator/group_service.h"

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "quatrain/internal/v1/group.grpc.pb.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

// The internal port alone, and clients that keep to no order.
class GroupServiceTest : public testing::Test {
 protected:
  GroupServiceTest() {
    server_ = *GroupServer::Start({}, &registry_, &store_, &loop_);
    stub_ = pb::GroupService::NewStub(
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                            grpc::InsecureChannelCredentials()));
  }

  static pb::WorkerMessage Hello(const std::string& build_id) {
    pb::WorkerMessage message;
    pb::Hello* hello = message.mutable_hello();
    hello->set_worker_name("w");
    hello->set_incarnation(1);
    hello->set_build_id(build_id);
    hello->add_devices()->set_kind("cpu");
    return message;
  }

  static pb::WorkerMessage Put(const std::string& key) {
    pb::WorkerMessage message;
    message.mutable_store()->set_epoch(kEpoch);
    message.mutable_store()->mutable_put()->set_key(key);
    return message;
  }

  // Whether the store holds the key.
  bool Holds(const std::string& key) {
    pb::StoreRequest request;
    request.set_epoch(kEpoch);
    request.mutable_get()->set_key(key);
    auto found = std::make_shared<bool>(false);
    store_.Ask(request, SteadyTime::Now(),
               [found](const pb::StoreReply& r) { *found = r.code() == 0; });
    store_.Expire(SteadyTime::InfiniteFuture());
    return *found;
  }

  static constexpr uint64_t kEpoch = 4;
  WorkerRegistry registry_{{.epoch = kEpoch, .build_id = "build"}};
  RendezvousStore store_{kEpoch};
  StepLoop loop_{{}};
  std::unique_ptr<GroupServer> server_;
  std::unique_ptr<pb::GroupService::Stub> stub_;
};

TEST_F(GroupServiceTest, AttachedWorkerUsesTheStore) {
  grpc::ClientContext context;
  const auto stream = stub_->Attach(&context);
  stream->Write(Hello("build"));
  stream->Write(Put("key"));
  pb::CoordinatorMessage message;
  ASSERT_TRUE(stream->Read(&message));
  EXPECT_TRUE(message.has_welcome());
  ASSERT_TRUE(stream->Read(&message));
  EXPECT_EQ(message.store().code(), 0u) << message.store().message();

  EXPECT_TRUE(Holds("key"));
  context.TryCancel();
  stream->Finish();
}

TEST_F(GroupServiceTest, RefusedWorkerLeavesNothingInTheStore) {
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext context;
    const auto stream = stub_->Attach(&context);
    // In one packet, so that the second is read before the stream ends.
    stream->Write(Hello("other"), grpc::WriteOptions().set_buffer_hint());
    stream->Write(Put("key"));
    pb::CoordinatorMessage message;
    ASSERT_TRUE(stream->Read(&message));
    EXPECT_TRUE(message.has_refusal());
    while (stream->Read(&message)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
  }

  EXPECT_FALSE(Holds("key"));
}

}  // namespace
}  // namespace quatrain
