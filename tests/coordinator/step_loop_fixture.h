#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bounded_queue.h"
#include "coordinator/step_loop.h"
#include "gtest/gtest.h"
#include "tests/coordinator/fake_rank.h"
#include "tests/coordinator/recording_listener.h"

namespace quatrain {

// One stage of two ranks on a thread: executes plans in order, each for
// `step_time`, and answers as the sampling rank; the other rank echoes digests.
class FakeGroup final : public StepGroup {
 public:
  explicit FakeGroup(StepLoop* loop) : loop_(loop) {
    thread_ = std::jthread([this] { Run(); });
  }
  ~FakeGroup() override { plans_.Close(); }

  void SendPlan(const std::string& plan_bytes) override {
    plans_.Push(plan_bytes);
  }
  void OnStepFailed(const StepFailure& failure) override {
    failed_ = true;
    if (!ends_the_loop_) return;
    loop_->Fail(absl::UnavailableError(absl::StrCat(
        "rank ", failure.rank, ": ", std::string(failure.status.message()))));
  }

  FakeRank sampler_{/*rank=*/0, /*first_stage=*/true, /*samples=*/true};
  FakeRank other_{/*rank=*/1, /*first_stage=*/true, /*samples=*/false};
  std::chrono::microseconds step_time_{200};
  uint64_t silent_from_step_ = 0;  // answers nothing from this step on
  bool drops_a_row_ = false;
  bool ends_the_loop_ = true;  // after a failed step
  std::atomic<bool> failed_ = false;

 private:
  void Run() {
    while (auto plan = plans_.Pop()) {
      std::this_thread::sleep_for(step_time_);
      auto result = sampler_.Execute(*plan);
      const auto echo = other_.Execute(*plan);
      if (silent_from_step_ != 0 && result.step_id() >= silent_from_step_)
        continue;
      if (drops_a_row_) result.mutable_rows()->RemoveLast();
      loop_->OnOutcome(*DecodeOutcome(echo.SerializeAsString()));
      loop_->OnOutcome(*DecodeOutcome(result.SerializeAsString()));
    }
  }

  StepLoop* const loop_;
  BoundedQueue<std::string> plans_{1000};
  std::jthread thread_;
};

// A step loop before a FakeGroup.
class StepLoopTest : public testing::Test {
 protected:
  StepLoopTest() {
    options_.scheduler = {
        .max_num_seqs = 8, .max_num_batched_tokens = 16, .max_model_len = 200};
    options_.block_size = 4;
    options_.clock.min_timeout = absl::Milliseconds(300);
    options_.clock.first_timeout = absl::Seconds(2);
  }
  ~StepLoopTest() override {
    if (loop_) loop_->Drain(absl::ZeroDuration());
  }

  void Start(int num_blocks = 100) {
    loop_ = std::make_unique<StepLoop>(options_);
    group_ = std::make_unique<FakeGroup>(loop_.get());
    if (prepare_) prepare_(group_.get());
    ASSERT_TRUE(loop_
                    ->Start({.epoch = 5,
                             .num_blocks = num_blocks,
                             .stage_of_rank = {0, 0},
                             .sampling_rank = 0},
                            group_.get())
                    .ok());
  }

  GenerationRequest Request(std::string id, int prompt_size, int max_tokens) {
    GenerationRequest request;
    request.request_id = std::move(id);
    for (int i = 0; i < prompt_size; ++i)
      request.prompt_token_ids.push_back(100 + i);
    request.max_tokens = max_tokens;
    return request;
  }

  std::shared_ptr<Heard> Submit(GenerationRequest request, int stop_at = 0) {
    auto heard = std::make_shared<Heard>();
    const absl::Status status =
        loop_->Submit(std::move(request),
                      std::make_unique<RecordingListener>(heard, stop_at));
    EXPECT_TRUE(status.ok()) << status;
    return heard;
  }

  absl::Status TrySubmit(GenerationRequest request) {
    return loop_->Submit(
        std::move(request),
        std::make_unique<RecordingListener>(std::make_shared<Heard>()));
  }

  void WaitUntilAllIsFree() {
    for (int i = 0; i < 1000 && loop_->stats().num_used_blocks > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(loop_->stats().num_used_blocks, 0);
  }

  StepLoop::Options options_;
  std::function<void(FakeGroup*)> prepare_;
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<FakeGroup> group_;
};

}  // namespace quatrain
