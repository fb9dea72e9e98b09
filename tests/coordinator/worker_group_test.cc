#include "coordinator/worker_group.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "coordinator/plan_encoder.h"
#include "coordinator/rich_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/fake_worker.h"
#include "tests/coordinator/recording_listener.h"

namespace quatrain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WorkerGroupTest : public testing::Test {
 protected:
  WorkerGroupTest() {
    loop_options_.scheduler = {.max_num_seqs = 8,
                               .max_num_batched_tokens = 32,
                               .max_model_len = 512,
                               .num_micro_batches = 2};
    loop_options_.clock.min_timeout = absl::Milliseconds(500);
    loop_options_.clock.first_timeout = absl::Seconds(1);
    options_.epoch = 9;
    options_.build_id = "build";
    options_.model_digest = "model";
    options_.worker_timeout = absl::Seconds(1);
    // Two stages of two ranks.
    options_.layout = *MakeLayout({.tp = 2, .pp = 2}, /*num_layers=*/4);
  }

  void Start() {
    loop_ = std::make_unique<StepLoop>(loop_options_);
    auto group = WorkerGroup::Start(options_, loop_options_, loop_.get());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }

  FakeWorker* Attach(FakeWorker::Options options) {
    workers_.push_back(
        std::make_unique<FakeWorker>(group_->port(), std::move(options)));
    return workers_.back().get();
  }
  void AttachFour() {
    for (const char* name : {"w0", "w1", "w2", "w3"}) Attach({.name = name});
  }

  std::shared_ptr<Heard> Submit(int max_tokens) {
    GenerationRequest request;
    request.request_id = absl::StrCat("r", ++num_requests_);
    request.prompt_token_ids = {1, 2, 3};
    request.max_tokens = max_tokens;
    auto heard = std::make_shared<Heard>();
    const absl::Status status = loop_->Submit(
        std::move(request), std::make_unique<RecordingListener>(heard));
    EXPECT_TRUE(status.ok()) << status;
    return heard;
  }

  std::string Message(const absl::Status& status) {
    return std::string(status.message());
  }

  WorkerGroupOptions options_;
  StepLoop::Options loop_options_;
  int num_requests_ = 0;
  // Workers go first, then the group, then the loop.
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<WorkerGroup> group_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
};

TEST_F(WorkerGroupTest, FormsServesAndStops) {
  Start();
  AttachFour();
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  const auto heard = Submit(/*max_tokens=*/60);
  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(heard->ids().size(), 60u) << heard->status();
  group_->Stop(absl::Seconds(1));

  EXPECT_TRUE(group_->WaitUntilDone().ok());
  EXPECT_THAT(workers_[0]->commands(),
              ElementsAre("plan_shard", "load_shard", "init_communicators",
                          "allocate_kv_cache", "warmup", "shutdown"));
}

TEST_F(WorkerGroupTest, RanksAreDealtOutByName) {
  Start();
  FakeWorker* second = Attach({.name = "b", .num_ranks = 3});
  FakeWorker* first = Attach({.name = "a", .num_ranks = 1});
  ASSERT_TRUE(group_->WaitUntilReady().ok());

  EXPECT_EQ(first->plan_shard().places(0).rank(), 0u);
  const auto plan = second->plan_shard();
  EXPECT_EQ(plan.places(0).rank(), 1u);
  EXPECT_EQ(plan.places(2).rank(), 3u);
  EXPECT_EQ(plan.places(2).stage(), 1u);
  EXPECT_EQ(plan.places(2).tp_rank(), 1u);
  EXPECT_EQ(plan.places(2).device(), 2u);
  EXPECT_EQ(plan.config().ranks_on_host(), 4u);
  EXPECT_EQ(plan.config().plans_in_flight(), 3u);
}

TEST_F(WorkerGroupTest, RanksAreToldWhereTheTokenIdsEnd) {
  options_.num_token_ids = 151'665;
  Start();
  FakeWorker* worker = Attach({.name = "w0", .num_ranks = 4});
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  EXPECT_EQ(worker->plan_shard().config().num_token_ids(), 151'665u);
}

TEST_F(WorkerGroupTest, DeadWorkerEndsItsStreamsWithinASecond) {
  Start();
  AttachFour();
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  const auto heard = Submit(/*max_tokens=*/500);
  const absl::Time death = absl::Now();
  workers_[2]->Die();

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_LT(absl::Now() - death, absl::Seconds(1));
  EXPECT_EQ(heard->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Message(heard->status()),
            "lost rank 2 (worker \"w2\" on testhost): its connection closed");
  EXPECT_EQ(group_->WaitUntilDone(), heard->status());
  EXPECT_EQ(loop_->state().phase, EnginePhase::kFailed);
  EXPECT_TRUE(workers_[0]->WaitFor("abort_communicators"));
  EXPECT_TRUE(workers_[0]->WaitFor("shutdown"));
}

TEST_F(WorkerGroupTest, SilentWorkerIsLostByItsHeartbeat) {
  Start();
  AttachFour();
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  workers_[1]->StopBeating();

  EXPECT_THAT(
      Message(group_->WaitUntilDone()),
      HasSubstr("lost rank 1 (worker \"w1\" on testhost): no heartbeat for 1"));
}

TEST_F(WorkerGroupTest, FaultNamesThePeerToBlame) {
  Start();
  for (const char* name : {"w0", "w1", "w2"}) Attach({.name = name});
  Attach({.name = "w3", .fault_at_step = 10, .fault_peer = 1});
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  const auto heard = Submit(/*max_tokens=*/500);

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(Message(heard->status()),
            "lost rank 1 (worker \"w1\" on testhost): rank 1: peer closed the "
            "connection");
}

TEST_F(WorkerGroupTest, ResultOfSomebodyElsesRankEndsTheEpoch) {
  Start();
  for (const char* name : {"w0", "w2", "w3"}) Attach({.name = name});
  Attach({.name = "w1", .claimed_rank = 2});  // the sampling rank
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  const auto heard = Submit(/*max_tokens=*/500);

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(Message(heard->status()),
            "lost rank 1 (worker \"w1\" on testhost): it sent a result of rank "
            "2, expected one of its own (1)");
}

TEST_F(WorkerGroupTest, LossSaysWhoInItsMetadata) {
  Start();
  Attach({.name = "a", .num_ranks = 1});
  FakeWorker* lost = Attach({.name = "b", .num_ranks = 3});
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  lost->Die();

  const absl::Status status = group_->WaitUntilDone();
  EXPECT_EQ(ErrorReason(status), "WORKER_LOST");
  EXPECT_EQ(MetadataOf(status),
            (ErrorMetadata{
                {"rank", "1,2,3"}, {"worker", "b"}, {"host", "testhost"}}));
}

TEST_F(WorkerGroupTest, PlansWhoseResultsMightNotFitAMessageAreRefused) {
  loop_options_.scheduler.max_num_batched_tokens = kMaxBatchedTokens + 1;
  StepLoop loop(loop_options_);

  const auto group = WorkerGroup::Start(options_, loop_options_, &loop);
  EXPECT_EQ(group.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(group.status()),
            "--max-num-batched-tokens 32769, accepted at most 32768: the "
            "result of a step must fit one message");
}

TEST_F(WorkerGroupTest, LossExplainsMoreThanAFault) {
  Start();
  for (const char* name : {"w0", "w1", "w2"}) Attach({.name = name});
  Attach({.name = "w3", .fault_at_step = 10});
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  const auto heard = Submit(/*max_tokens=*/500);
  while (loop_->stats().num_steps < 8)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  workers_[0]->Die();

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(Message(heard->status()), HasSubstr("lost rank 0"));
}

TEST_F(WorkerGroupTest, StuckRankIsFoundByTheWatchdog) {
  Start();
  for (const char* name : {"w0", "w1", "w3"}) Attach({.name = name});
  Attach({.name = "w2", .silent_from_step = 30});  // the sampling rank
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  const auto heard = Submit(/*max_tokens=*/500);

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_EQ(Message(heard->status()),
            "lost rank 2 (worker \"w2\" on testhost): no result of step 30 "
            "after 500ms");
}

TEST_F(WorkerGroupTest, LossWhileDrainingDoesNotWaitForTheGrace) {
  loop_options_.clock.first_timeout = absl::Seconds(60);
  Start();
  for (const char* name : {"w0", "w1", "w3"}) Attach({.name = name});
  Attach({.name = "w2", .silent_from_step = 5});
  ASSERT_TRUE(group_->WaitUntilReady().ok());
  const auto heard = Submit(/*max_tokens=*/500);
  group_->Stop(absl::Seconds(60));
  while (loop_->state().phase != EnginePhase::kDraining)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  workers_[0]->Die();

  ASSERT_TRUE(heard->WaitUntilDone());
  EXPECT_THAT(Message(heard->status()), HasSubstr("lost rank 0"));
  EXPECT_EQ(group_->WaitUntilDone(), heard->status());
}

TEST_F(WorkerGroupTest, RefusesWhoDoesNotBelong) {
  options_.workers = {"w0", "w1"};
  Start();
  FakeWorker* good = Attach({.name = "w0", .num_ranks = 2});
  while (!loop_->state().message.ends_with("w0"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));

  const auto refusal = [&](FakeWorker::Options options) {
    FakeWorker* worker = Attach(std::move(options));
    EXPECT_TRUE(worker->WaitForRefusal());
    EXPECT_TRUE(worker->refusal()->do_not_retry());
    // Not RESOURCE_EXHAUSTED, which a worker takes for a budget too small.
    const uint32_t code = worker->refusal()->code();
    EXPECT_TRUE(code == grpc::StatusCode::INVALID_ARGUMENT ||
                code == grpc::StatusCode::FAILED_PRECONDITION)
        << code;
    return worker->refusal()->message();
  };
  EXPECT_EQ(refusal({.name = "w9"}),
            "worker \"w9\" on testhost: unknown name \"w9\", expected one of "
            "w0, w1");
  EXPECT_THAT(refusal({.name = "w0", .incarnation = 2}),
              HasSubstr("another process of that name is attached (host "
                        "testhost, pid "));
  EXPECT_EQ(refusal({.name = "w1", .build_id = "other"}),
            "worker \"w1\" on testhost: build other, expected build");
  EXPECT_EQ(refusal({.name = "w1", .protocol_revision = 7}),
            "worker \"w1\" on testhost: protocol revision 7, expected 1");
  EXPECT_EQ(refusal({.name = "w1", .model_digest = "other"}),
            "worker \"w1\" on testhost: model other, expected model");
  EXPECT_EQ(refusal({.name = "w1", .num_ranks = 3}),
            "worker \"w1\" on testhost: brings 3 ranks, the layout has 4 and 2 "
            "are attached");
  EXPECT_FALSE(good->refusal());
}

TEST_F(WorkerGroupTest, WorkerThatDiesBeforeTheGroupIsCompleteMayComeBack) {
  Start();
  FakeWorker* early = Attach({.name = "w0", .incarnation = 1, .num_ranks = 2});
  while (!loop_->state().message.ends_with("w0"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  early->Die();
  while (!loop_->state().message.ends_with("0 of 4 ranks attached"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  Attach({.name = "w0", .incarnation = 2, .num_ranks = 2});
  Attach({.name = "w1", .num_ranks = 2});

  EXPECT_TRUE(group_->WaitUntilReady().ok());
}

TEST_F(WorkerGroupTest, BudgetThatIsTooSmallIsRefusedBeforeLoading) {
  Start();
  for (const char* name : {"w0", "w1", "w2"}) Attach({.name = name});
  FakeWorker* small = Attach({.name = "w3", .num_blocks = 20});

  const absl::Status status = group_->WaitUntilReady();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(
      Message(status),
      "does not fit: rank 3 (worker \"w3\" on testhost) needs 1.01 GiB, limit "
      "1.00 GiB, short by 12.00 MiB: weights 1004.00 MiB, kv 32.00 MiB (32 "
      "blocks of 16 tokens, one sequence of --max-model-len 512); "
      "--max-model-len 320 fits");
  EXPECT_EQ(group_->WaitUntilDone(), status);
  for (const std::string& command : small->commands())
    EXPECT_NE(command, "load_shard");
}

TEST_F(WorkerGroupTest, ConnectingIsTriedAgainUnderAFreshPrefix) {
  Start();
  for (const char* name : {"w0", "w1", "w2"}) Attach({.name = name});
  Attach(
      {.name = "w3",
       .failing_command = internal::v1::Command::kInitCommunicatorsFieldNumber,
       .num_failures = 2});

  EXPECT_TRUE(group_->WaitUntilReady().ok());
}

TEST_F(WorkerGroupTest, FailedLoadIsReportedWithItsRank) {
  Start();
  for (const char* name : {"w0", "w1", "w2"}) Attach({.name = name});
  Attach({.name = "w3",
          .failing_command = internal::v1::Command::kLoadShardFieldNumber,
          .failure = "model.safetensors: truncated"});

  EXPECT_EQ(Message(group_->WaitUntilReady()),
            "LoadShard: rank 3 (worker \"w3\" on testhost): "
            "model.safetensors: truncated");
}

TEST_F(WorkerGroupTest, StopsWhileItWaits) {
  Start();
  Attach({.name = "w0"});
  group_->Stop(absl::Seconds(1));

  EXPECT_TRUE(group_->WaitUntilDone().ok());
}

TEST_F(WorkerGroupTest, PortThatIsTakenIsSaidSo) {
  Start();
  options_.server.port = group_->port();
  StepLoop other(loop_options_);

  const auto second = WorkerGroup::Start(options_, loop_options_, &other);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(second.status()), HasSubstr("Address already in use"));
}

TEST_F(WorkerGroupTest, AnotherAddressThanTheLocalHostNeedsInsecure) {
  options_.server.host = "0.0.0.0";
  StepLoop other(loop_options_);

  const auto group = WorkerGroup::Start(options_, loop_options_, &other);
  EXPECT_EQ(group.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(group.status()), HasSubstr("--insecure"));
}

}  // namespace
}  // namespace quatrain
