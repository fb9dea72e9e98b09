#include "worker/communicators.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/for_each_rank.h"

namespace quatrain {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Clock = std::chrono::steady_clock;

TEST(GroupLayoutTest, ResidualComesFromRankModuloTheStageBefore) {
  const GroupLayout layout = LayoutOf({2, 3, 1});
  EXPECT_TRUE(layout.IsOrdered());
  EXPECT_EQ(layout.num_stages(), 3);
  EXPECT_THAT(layout.RanksOf(1), ElementsAre(2, 3, 4));
  EXPECT_EQ(layout.sampling_rank(), 5);
  EXPECT_EQ(layout.PreviousOf(1), -1);
  EXPECT_EQ(layout.PreviousOf(2), 0);
  EXPECT_EQ(layout.PreviousOf(3), 1);
  EXPECT_EQ(layout.PreviousOf(4), 0);
  EXPECT_EQ(layout.PreviousOf(5), 2);
  EXPECT_THAT(layout.NextOf(0), ElementsAre(2, 4));
  EXPECT_THAT(layout.NextOf(1), ElementsAre(3));
  EXPECT_THAT(layout.NextOf(2), ElementsAre(5));
  EXPECT_THAT(layout.NextOf(3), IsEmpty());
  EXPECT_THAT(layout.NextOf(5), IsEmpty());
}

TEST(GroupLayoutTest, RanksOutOfOrderAreSeen) {
  GroupLayout layout = LayoutOf({2, 2});
  std::swap(layout.places[1], layout.places[2]);
  EXPECT_FALSE(layout.IsOrdered());
  EXPECT_FALSE(GroupLayout().IsOrdered());
  GroupLayout gap = LayoutOf({1, 1});
  gap.places[1].stage = 2;
  EXPECT_FALSE(gap.IsOrdered());
}

// One step of everything: sum in the stage, pass on, sample, receive.
bool RunStep(const GroupLayout& layout, int rank, Communicators& made,
             uint64_t step) {
  const int tp_size =
      static_cast<int>(layout.RanksOf(layout.places[rank].stage).size());
  float row[8] = {};
  const MatrixView residual{row, DType::kF32, 1, 8, 8};
  if (made.from_previous) made.from_previous->Receive(residual);
  int64_t sum[8];
  for (int i = 0; i < 8; ++i) sum[i] = static_cast<int64_t>(row[i]) + 1;
  made.tensor_group->AllReduceSum(std::span<int64_t>(sum));
  for (int i = 0; i < 8; ++i) row[i] = sum[i] / tp_size;  // stages so far
  for (auto& next : made.to_next) next->Send(residual);
  if (rank == layout.sampling_rank()) {
    made.ids->Publish({step, {static_cast<int32_t>(row[0])}, {1}});
  }
  if (!made.ids) return made.status().ok();
  Samples next;
  return made.ids->Receive(&next).ok() && next.step_id == step &&
         next.token_ids == std::vector<int32_t>{layout.num_stages()};
}

class LayoutsTest
    : public testing::TestWithParam<std::tuple<GroupLayout, Transport>> {
 protected:
  const GroupLayout& layout() const { return std::get<0>(GetParam()); }
  CommunicatorOptions options() const {
    return SmallCommunicators(std::get<1>(GetParam()));
  }
};

TEST_P(LayoutsTest, WholeStepsRun) {
  std::atomic<int> running{layout().num_ranks()};
  WithCommunicators(layout(), options(), [&](int rank, Communicators& made) {
    for (uint64_t step = 1; step <= 30; ++step) {
      EXPECT_TRUE(RunStep(layout(), rank, made, step)) << made.status();
    }
    EXPECT_EQ(made.buffer_bytes, CommunicatorBytes(layout(), rank, options()));
    --running;
    while (running > 0) std::this_thread::sleep_for(milliseconds(1));
  });
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, LayoutsTest,
    testing::Combine(
        testing::Values(LayoutOf({1}), LayoutOf({2, 2}, {0, 0, 0, 0}),
                        LayoutOf({2, 2}), LayoutOf({2, 2}, {0, 0, 1, 1}),
                        LayoutOf({2, 2}, {0, 1, 0, 1}),
                        LayoutOf({3, 1, 2}, {0, 0, 1, 1, 2, 2}),
                        LayoutOf({1, 3, 2}, {0, 0, 1, 2, 0, 0})),
        testing::Values(Transport::kSharedMemory, Transport::kGloo)));

class ProcessesTest : public testing::TestWithParam<Transport> {};

TEST_P(ProcessesTest, FourProcessesRunSteps) {
  FileKeyValueStore store;
  const GroupLayout layout = LayoutOf({2, 2});
  const auto run = [&](int rank) {
    ProcessHub hub;
    auto made = FormCommunicators(layout, rank, &hub, &store, "epoch-1",
                                  SmallCommunicators(GetParam()));
    if (!made.ok()) return 2;
    for (uint64_t step = 1; step <= 100; ++step) {
      if (!RunStep(layout, rank, *made, step)) return 1;
    }
    // A last meeting, so that nobody leaves early.
    std::this_thread::sleep_for(milliseconds(200));
    return 0;
  };
  ChildProcess one([&] { return run(1); });
  ChildProcess two([&] { return run(2); });
  ChildProcess three([&] { return run(3); });
  EXPECT_EQ(run(0), 0);
  EXPECT_EQ(one.Wait(), 0);
  EXPECT_EQ(two.Wait(), 0);
  EXPECT_EQ(three.Wait(), 0);
}

INSTANTIATE_TEST_SUITE_P(Transports, ProcessesTest,
                         testing::Values(Transport::kSharedMemory,
                                         Transport::kGloo),
                         [](const auto& info) { return NameOf(info.param); });

// Rank 2 can share memory with nobody, as if it ran in another container: only
// ranks 0 and 1 share theirs.
TEST(CommunicatorsTest, RankApartIsReachedThroughGloo) {
  for (const GroupLayout& layout : {LayoutOf({3}), LayoutOf({2, 1})}) {
    MemoryKeyValueStore store;
    std::vector<ProcessHub> hubs(3);
    std::atomic<int> done = 0;
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&, rank] {
        CommunicatorOptions options = SmallCommunicators();
        options.share_memory = rank != 2;
        auto made = FormCommunicators(layout, rank, &hubs[rank], &store,
                                      "attempt", options);
        EXPECT_TRUE(made.ok() && RunStep(layout, rank, *made, 1))
            << made.status();
        ++done;
        while (done < 3) std::this_thread::sleep_for(milliseconds(1));
      });
    }
  }
}

TEST(CommunicatorsTest, LosingOneRankEndsEveryWait) {
  // Rank 0 leaves; rank 3 waits for the link from rank 1, which waits for the
  // sum with rank 0.
  const GroupLayout layout = LayoutOf({2, 2});
  for (const Transport transport : {Transport::kSharedMemory, Transport::kGloo})
    WithCommunicators(layout, SmallCommunicators(transport),
                      [&](int rank, Communicators& made) {
                        if (rank == 0) return;
                        const Clock::time_point start = Clock::now();
                        EXPECT_FALSE(RunStep(layout, rank, made, 1));
                        EXPECT_LT(Clock::now() - start, milliseconds(1000));
                        EXPECT_TRUE(absl::IsUnavailable(made.status()))
                            << made.status();
                      });
}

// Forms without the ranks in `missing`; what each of the others got.
std::vector<absl::Status> FormWithout(const std::set<int>& missing,
                                      const GroupLayout& layout,
                                      const CommunicatorOptions& options,
                                      std::vector<ProcessHub>* hubs) {
  MemoryKeyValueStore store;
  std::vector<absl::Status> statuses(layout.num_ranks());
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < layout.num_ranks(); ++rank) {
      if (missing.contains(rank)) continue;
      threads.emplace_back([&, rank] {
        statuses[rank] =
            FormCommunicators(layout, rank,
                              &(*hubs)[layout.places[rank].process], &store,
                              "attempt", options)
                .status();
      });
    }
  }
  return statuses;
}

TEST(CommunicatorsTest, MissingRankEndsFormationInTime) {
  CommunicatorOptions options = SmallCommunicators();
  options.form_timeout = milliseconds(500);
  for (const GroupLayout& layout :
       {LayoutOf({3}), LayoutOf({1, 1, 1}), LayoutOf({3}, {0, 0, 0}),
        LayoutOf({1, 1, 1}, {0, 0, 0})}) {
    std::vector<ProcessHub> hubs(3);
    const Clock::time_point start = Clock::now();
    const auto statuses = FormWithout({1}, layout, options, &hubs);
    EXPECT_LT(Clock::now() - start, milliseconds(1500));
    EXPECT_FALSE(statuses[0].ok());
    EXPECT_FALSE(statuses[2].ok());
  }
}

TEST(CommunicatorsTest, HubEndsAFormation) {
  std::vector<ProcessHub> hubs(1);
  std::jthread aborter([&] {
    std::this_thread::sleep_for(milliseconds(200));
    hubs[0].Abort("attempt", absl::CancelledError("another epoch"));
  });
  const Clock::time_point start = Clock::now();
  const auto statuses = FormWithout({1}, LayoutOf({2, 1}, {0, 0, 0}),
                                    SmallCommunicators(), &hubs);
  EXPECT_LT(Clock::now() - start, milliseconds(1000));
  EXPECT_TRUE(absl::IsCancelled(statuses[0])) << statuses[0];
}

TEST(CommunicatorsTest, WrongArgumentsAreRefused) {
  ProcessHub hub;
  MemoryKeyValueStore store;
  CommunicatorOptions options = SmallCommunicators();
  EXPECT_TRUE(absl::IsInvalidArgument(
      FormCommunicators(GroupLayout(), 0, &hub, &store, "a", options)
          .status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      FormCommunicators(LayoutOf({2}), 2, &hub, &store, "b", options)
          .status()));
  options.data_host = "192.0.2.1";  // reserved for documentation
  const absl::Status status =
      FormCommunicators(LayoutOf({2}), 0, &hub, &store, "c", options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("192.0.2.1"));
}

// Connects to every address that is published, before the peer can.
class StrangerStore final : public KeyValueStore {
 public:
  ~StrangerStore() override {
    for (const int fd : sockets_) close(fd);
  }
  absl::Status Put(const std::string& key, const std::string& value) override {
    if (armed && value.size() >= sizeof(sockaddr_in)) {
      sockaddr_in address;
      std::memcpy(&address, value.data(), sizeof(address));
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
      MutexLock lock(&mutex_);
      sockets_.push_back(fd);
    }
    return store_.Put(key, value);
  }
  absl::StatusOr<std::string> Get(const std::string& key,
                                  milliseconds timeout) override {
    return store_.Get(key, timeout);
  }
  absl::Status Wait(const std::vector<std::string>& keys,
                    milliseconds timeout) override {
    return store_.Wait(keys, timeout);
  }

  std::atomic<bool> armed = true;

 private:
  MemoryKeyValueStore store_;
  Mutex mutex_;
  std::vector<int> sockets_ ABSL_GUARDED_BY(mutex_);
};

TEST(CommunicatorsTest, StrangerFailsOneAttemptAndTheNextForms) {
  StrangerStore store;
  CommunicatorOptions options = SmallCommunicators(Transport::kGloo);
  options.form_timeout = milliseconds(1500);
  const GroupLayout layout = LayoutOf({2, 1});
  std::vector<ProcessHub> hubs(3);
  for (int attempt = 1; attempt <= 2; ++attempt) {
    store.armed = attempt == 1;
    std::atomic<int> formed = 0, done = 0;
    const Clock::time_point start = Clock::now();
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&, rank, attempt] {
        auto made =
            FormCommunicators(layout, rank, &hubs[rank], &store,
                              absl::StrCat("attempt-", attempt), options);
        if (made.ok() && RunStep(layout, rank, *made, 1)) ++formed;
        ++done;
        while (done < 3) std::this_thread::sleep_for(milliseconds(1));
      });
    }
    threads.clear();
    EXPECT_EQ(formed, attempt == 1 ? 0 : 3);
    EXPECT_LT(Clock::now() - start, milliseconds(3500));
  }
}

}  // namespace
}  // namespace quatrain
