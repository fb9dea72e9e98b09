#include "worker/id_channel.h"

#include <atomic>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/for_each_rank.h"

namespace quatrain {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using Clock = std::chrono::steady_clock;

// Three stages of two ranks: first ranks 0, 2, 4, of which 4 samples.
struct Where {
  const char* name;
  std::vector<int> processes;
  Transport transport = Transport::kSharedMemory;
};
void PrintTo(const Where& where, std::ostream* os) { *os << where.name; }

class IdChannelTest : public testing::TestWithParam<Where> {
 protected:
  void Run(const CommunicatorOptions& options,
           const std::function<void(int, Communicators&)>& body) {
    WithCommunicators(LayoutOf({2, 2, 2}, GetParam().processes), options, body);
  }
};

// Of `step_id`: 0 to 4 rows, some of which drew nothing.
Samples SamplesOf(uint64_t step_id) {
  Samples samples;
  samples.step_id = step_id;
  for (uint64_t row = 0; row < step_id % 5; ++row) {
    samples.counts.push_back((step_id + row) % 3 == 0 ? 0 : 1);
    if (samples.counts.back() > 0) {
      samples.token_ids.push_back(static_cast<int32_t>(step_id * 10 + row));
    }
  }
  return samples;
}

TEST_P(IdChannelTest, FirstRanksReceiveAllInPlanOrder) {
  std::atomic<int> reading{3};
  Run(SmallCommunicators(GetParam().transport),
      [&](int rank, Communicators& made) {
        EXPECT_EQ(made.ids != nullptr, rank % 2 == 0);
        if (rank == 4) {  // far ahead of all readers, without blocking
          for (uint64_t step = 1; step <= 500; ++step) {
            made.ids->Publish(SamplesOf(step));
          }
        }
        if (rank % 2 == 0) {
          for (uint64_t step = 1; step <= 500; ++step) {
            Samples next;
            ASSERT_EQ(made.ids->Receive(&next), absl::OkStatus());
            const Samples expected = SamplesOf(step);
            EXPECT_EQ(next.step_id, step);
            EXPECT_EQ(next.token_ids, expected.token_ids);
            EXPECT_EQ(next.counts, expected.counts);
          }
          --reading;
        }
        while (reading > 0) std::this_thread::sleep_for(milliseconds(1));
      });
}

TEST_P(IdChannelTest, NothingSampledIsNoticedAtTheDeadline) {
  CommunicatorOptions options = SmallCommunicators(GetParam().transport);
  options.stage_timeout = milliseconds(300);
  std::atomic<bool> done = false;
  Run(options, [&](int rank, Communicators& made) {
    if (rank == 0) {
      Samples next;
      const Clock::time_point start = Clock::now();
      EXPECT_TRUE(absl::IsDeadlineExceeded(made.ids->Receive(&next)));
      EXPECT_GE(Clock::now() - start, milliseconds(290));
      EXPECT_THAT(std::string(made.status().message()),
                  testing::HasSubstr("rank 4"));
      done = true;
    }
    while (!done) std::this_thread::sleep_for(milliseconds(1));
  });
}

TEST_P(IdChannelTest, SilenceBetweenStepsIsNoFault) {
  CommunicatorOptions options = SmallCommunicators(GetParam().transport);
  options.stage_timeout = milliseconds(400);
  std::atomic<int> reading{3};
  Run(options, [&](int rank, Communicators& made) {
    std::this_thread::sleep_for(milliseconds(700));
    if (rank == 4) made.ids->Publish(SamplesOf(7));
    if (rank % 2 == 0) {
      Samples next;
      EXPECT_EQ(made.ids->Receive(&next), absl::OkStatus());
      --reading;
    }
    while (reading > 0) std::this_thread::sleep_for(milliseconds(1));
  });
}

TEST_P(IdChannelTest, SamplingRankThatLeavesIsNoticed) {
  Run(SmallCommunicators(GetParam().transport),
      [](int rank, Communicators& made) {
        if (rank != 0) return;
        Samples next;
        const Clock::time_point start = Clock::now();
        EXPECT_TRUE(absl::IsUnavailable(made.ids->Receive(&next)));
        EXPECT_LT(Clock::now() - start, milliseconds(1000));
      });
}

TEST_P(IdChannelTest, AbortEndsAWait) {
  std::atomic<bool> done = false;
  Run(SmallCommunicators(GetParam().transport),
      [&](int rank, Communicators& made) {
        if (rank == 2) {
          std::jthread aborter([&made] {
            std::this_thread::sleep_for(milliseconds(100));
            made.Abort(absl::CancelledError("over"));
          });
          Samples next;
          const Clock::time_point start = Clock::now();
          EXPECT_EQ(made.ids->Receive(&next), absl::CancelledError("over"));
          EXPECT_LT(Clock::now() - start, milliseconds(1000));
          done = true;
        }
        while (!done) std::this_thread::sleep_for(milliseconds(1));
      });
}

INSTANTIATE_TEST_SUITE_P(
    Places, IdChannelTest,
    testing::Values(
        Where{"OneProcess", {0, 0, 0, 0, 0, 0}},
        Where{"ProcessPerRank", {0, 1, 2, 3, 4, 5}},
        Where{"ProcessPerRankOverGloo", {0, 1, 2, 3, 4, 5}, Transport::kGloo},
        Where{"FirstAndLastStageTogether", {0, 0, 1, 1, 0, 0}},
        Where{"FirstAndLastStageTogetherOverGloo",
              {0, 0, 1, 1, 0, 0},
              Transport::kGloo}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace quatrain
