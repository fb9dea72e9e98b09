#include "worker/stage_link.h"

#include <atomic>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/for_each_rank.h"

namespace quatrain {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Rows of one message; every number says which message and where.
struct Residual {
  Residual(int rows, int cols)
      : data(static_cast<size_t>(rows) * cols),
        view{data.data(), DType::kF32, rows, cols, cols} {}
  void Fill(int message) {
    for (size_t i = 0; i < data.size(); ++i) data[i] = message * 1000.f + i;
  }
  bool Holds(int message) const {
    for (size_t i = 0; i < data.size(); ++i) {
      if (data[i] != message * 1000.f + i) return false;
    }
    return true;
  }
  std::vector<float> data;
  MatrixView view;
};

class StageLinkTest : public testing::TestWithParam<Transport> {};

TEST_P(StageLinkTest, MessagesArriveInOrder) {
  WithCommunicators(LayoutOf({1, 1, 1}, GetParam()),
                    SmallCommunicators(GetParam()),
                    [](int rank, Communicators& made) {
                      for (int message = 0; message < 300; ++message) {
                        Residual residual(1 + message % 16, 8);
                        if (rank == 0) residual.Fill(message);
                        if (made.from_previous)
                          made.from_previous->Receive(residual.view);
                        EXPECT_TRUE(residual.Holds(message)) << message;
                        for (auto& next : made.to_next)
                          next->Send(residual.view);
                      }
                      EXPECT_EQ(made.status(), absl::OkStatus());
                      // The last messages may still be read while this end
                      // leaves.
                      std::this_thread::sleep_for(milliseconds(200));
                    });
}

TEST_P(StageLinkTest, SenderRunsTwoMessagesAhead) {
  std::atomic<bool> sent = false;
  WithCommunicators(LayoutOf({1, 1}, GetParam()),
                    SmallCommunicators(GetParam()),
                    [&](int rank, Communicators& made) {
                      Residual residual(16, 8);
                      if (rank == 0) {
                        for (int message : {1, 2}) {
                          residual.Fill(message);
                          made.to_next[0]->Send(residual.view);
                        }
                        sent = true;
                        std::this_thread::sleep_for(milliseconds(200));
                        return;
                      }
                      while (!sent && made.status().ok()) {
                        std::this_thread::sleep_for(milliseconds(1));
                      }
                      for (int message : {1, 2}) {
                        made.from_previous->Receive(residual.view);
                        EXPECT_TRUE(residual.Holds(message));
                      }
                      EXPECT_EQ(made.status(), absl::OkStatus());
                    });
}

TEST_P(StageLinkTest, OneRankSendsToSeveral) {
  // Rank j receives from rank j mod n of the stage before. Nobody leaves before
  // all are done: that would end the group for those who still send.
  std::atomic<int> running = 7;
  WithCommunicators(LayoutOf({2, 5}, GetParam()),
                    SmallCommunicators(GetParam()),
                    [&](int rank, Communicators& made) {
                      Residual residual(3, 8);
                      if (rank < 2) {
                        EXPECT_EQ(made.to_next.size(), rank == 0 ? 3u : 2u);
                        residual.Fill(rank);
                        for (auto& next : made.to_next)
                          next->Send(residual.view);
                      } else {
                        made.from_previous->Receive(residual.view);
                        EXPECT_TRUE(residual.Holds((rank - 2) % 2));
                      }
                      EXPECT_EQ(made.status(), absl::OkStatus());
                      --running;
                      while (running > 0)
                        std::this_thread::sleep_for(milliseconds(1));
                    });
}

TEST_P(StageLinkTest, ReceiverThatTakesNothingIsNoticedAtTheDeadline) {
  CommunicatorOptions options = SmallCommunicators(GetParam());
  options.stage_timeout = milliseconds(300);
  std::atomic<bool> done = false;
  WithCommunicators(LayoutOf({1, 1}, GetParam()), options,
                    [&](int rank, Communicators& made) {
                      if (rank == 1) {
                        while (!done)
                          std::this_thread::sleep_for(milliseconds(1));
                        return;
                      }
                      Residual residual(1, 8);
                      const Clock::time_point start = Clock::now();
                      for (int message = 0; message < 3; ++message) {
                        made.to_next[0]->Send(residual.view);
                      }
                      EXPECT_GE(Clock::now() - start, milliseconds(250));
                      EXPECT_TRUE(absl::IsDeadlineExceeded(made.status()))
                          << made.status();
                      EXPECT_THAT(std::string(made.status().message()),
                                  testing::HasSubstr("rank 1"));
                      done = true;
                    });
}

TEST_P(StageLinkTest, SenderThatLeavesIsNoticed) {
  WithCommunicators(
      LayoutOf({1, 1}, GetParam()), SmallCommunicators(GetParam()),
      [](int rank, Communicators& made) {
        if (rank == 0) return;
        Residual residual(1, 8);
        const Clock::time_point start = Clock::now();
        made.from_previous->Receive(residual.view);
        EXPECT_LT(Clock::now() - start, milliseconds(1000));
        EXPECT_TRUE(absl::IsUnavailable(made.status())) << made.status();
      });
}

TEST_P(StageLinkTest, AbortEndsAWait) {
  std::atomic<bool> done = false;
  WithCommunicators(LayoutOf({1, 1}, GetParam()),
                    SmallCommunicators(GetParam()),
                    [&](int rank, Communicators& made) {
                      if (rank == 0) {
                        while (!done)
                          std::this_thread::sleep_for(milliseconds(1));
                        return;
                      }
                      std::jthread aborter([&made] {
                        std::this_thread::sleep_for(milliseconds(100));
                        made.Abort(absl::CancelledError("over"));
                      });
                      Residual residual(1, 8);
                      const Clock::time_point start = Clock::now();
                      made.from_previous->Receive(residual.view);
                      EXPECT_LT(Clock::now() - start, milliseconds(1000));
                      EXPECT_EQ(made.status(), absl::CancelledError("over"));
                      done = true;
                    });
}

INSTANTIATE_TEST_SUITE_P(Transports, StageLinkTest, kAllTransports,
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace quatrain
