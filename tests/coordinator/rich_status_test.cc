#include "coordinator/rich_status.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace quatrain {
namespace {

google::rpc::Status Decode(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  EXPECT_EQ(rich.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(rich.message(), status.error_message());
  return rich;
}

template <typename Detail>
Detail Get(const google::rpc::Status& rich) {
  Detail detail;
  for (const auto& any : rich.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  ADD_FAILURE() << Detail::descriptor()->full_name() << " is missing";
  return detail;
}

TEST(RichStatusTest, AFieldErrorNamesFieldReasonAndRequest) {
  const auto status = ToGrpcStatus(
      InvalidParameter("sampling.top_p", "2, accepted 0 < p <= 1"), "req-1");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "sampling.top_p: 2, accepted 0 < p <= 1");
  const auto rich = Decode(status);
  const auto info = Get<google::rpc::ErrorInfo>(rich);
  EXPECT_EQ(info.reason(), "INVALID_PARAMETER");
  EXPECT_EQ(info.domain(), "quatrain");
  EXPECT_EQ(Get<google::rpc::RequestInfo>(rich).request_id(), "req-1");
  const auto bad = Get<google::rpc::BadRequest>(rich);
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "sampling.top_p");
}

TEST(RichStatusTest, AnErrorWithoutReasonGetsTheUsualOne) {
  EXPECT_EQ(ErrorReason(absl::UnavailableError("gone")), "WORKER_LOST");
  EXPECT_EQ(ErrorReason(absl::InternalError("?")), "INTERNAL");
  EXPECT_EQ(ErrorReason(absl::CancelledError("")), "CANCELLED");
  EXPECT_EQ(ErrorReason(absl::DeadlineExceededError("")), "DEADLINE_EXCEEDED");
}

TEST(RichStatusTest, MetadataAddsToAReason) {
  absl::Status status = WithReason(absl::UnavailableError("worker 2 died"),
                                   "WORKER_LOST", {{"rank", "2"}});
  status = WithMetadata(status, {{"emitted_tokens", "7"}});
  EXPECT_EQ(ErrorReason(status), "WORKER_LOST");
  const ErrorMetadata expected = {{"emitted_tokens", "7"}, {"rank", "2"}};
  EXPECT_EQ(MetadataOf(status), expected);
  const auto info =
      Get<google::rpc::ErrorInfo>(Decode(ToGrpcStatus(status, "r")));
  EXPECT_EQ(info.metadata().at("rank"), "2");
}

TEST(RichStatusTest, AFullQueueSaysWhatAndWhen) {
  const auto rich = Decode(ToGrpcStatus(QueueFull("64 wait"), "r"));
  EXPECT_EQ(Get<google::rpc::QuotaFailure>(rich).violations(0).subject(),
            "queue");
  EXPECT_EQ(Get<google::rpc::RetryInfo>(rich).retry_delay().seconds(), 1);
}

TEST(RichStatusTest, AnUnknownModelIsNamed) {
  const absl::Status status = ModelNotFound("gpt", {"tales", "t"});
  EXPECT_EQ(status.message(), "model 'gpt' is not served; served: tales, t");
  const auto rich = Decode(ToGrpcStatus(status, "r"));
  const auto resource = Get<google::rpc::ResourceInfo>(rich);
  EXPECT_EQ(resource.resource_type(), "model");
  EXPECT_EQ(resource.resource_name(), "gpt");
}

TEST(RichStatusTest, NamesAreEscapedAndShortened) {
  EXPECT_EQ(Quoted("a\nb\xff"), "'a\\nb\\xff'");
  EXPECT_EQ(Quoted(std::string(100, 'x')), "'" + std::string(64, 'x') + "...'");
}

TEST(RichStatusTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus(), "r").ok());
}

}  // namespace
}  // namespace quatrain
