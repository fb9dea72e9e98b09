// The order of sends and receives, as docs/steps.md states it: it is shown to
// be free of deadlocks. That ranks follow it: step_order_of_ranks_test.cc.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/for_each_rank.h"
#include "tests/worker/step_table.h"

namespace quatrain {
namespace {

TEST(StepOrderTest, TableHasAllLines) {
  EXPECT_THAT(
      ReadTable(),
      testing::ElementsAre("receive-ids", "sum-ids", "receive-residual",
                           "sum-embedding", "sum-layers", "gather-candidates",
                           "send-residual", "publish-ids"));
}

// Runs the ranks' lists against each other: a send and its receive happen
// together, a collective when all ranks of the stage are at one; publishing
// needs nobody. Returns what is stuck.
class Rendezvous {
 public:
  Rendezvous(const GroupLayout& layout, std::vector<Lines> todo)
      : layout_(layout),
        todo_(std::move(todo)),
        next_(todo_.size()),
        ids_read_(todo_.size()) {}

  std::string Run() {
    while (StepAny()) {
    }
    std::string stuck;
    for (size_t rank = 0; rank < todo_.size(); ++rank) {
      if (!Done(rank)) absl::StrAppend(&stuck, rank, ": ", At(rank), "; ");
    }
    return stuck;
  }

 private:
  bool Done(int rank) const { return next_[rank] == todo_[rank].size(); }
  std::string At(int rank) const {
    return Done(rank) ? "" : todo_[rank][next_[rank]];
  }

  bool StepAny() {
    for (int rank = 0; rank < layout_.num_ranks(); ++rank) {
      if (!Done(rank) && Step(rank, At(rank))) return true;
    }
    return false;
  }

  bool Step(int rank, const std::string& line) {
    if (line == "publish-ids") {
      ++published_;
      ++next_[rank];
      return true;
    }
    if (line == "receive-ids") {
      if (ids_read_[rank] == published_) return false;
      ++ids_read_[rank];
      ++next_[rank];
      return true;
    }
    if (line == "receive-residual") {
      const int from = layout_.PreviousOf(rank);
      if (At(from) != absl::StrCat("send-residual ", rank)) return false;
      ++next_[rank];
      ++next_[from];
      return true;
    }
    if (line.starts_with("send-residual")) return false;  // by its receiver
    const std::vector<int> stage = layout_.RanksOf(layout_.places[rank].stage);
    for (const int peer : stage) {
      if (At(peer) != line) return false;
    }
    for (const int peer : stage) ++next_[peer];
    return true;
  }

  const GroupLayout& layout_;
  const std::vector<Lines> todo_;
  std::vector<size_t> next_;
  std::vector<int> ids_read_;
  int published_ = 0;
};

TEST(StepOrderTest, NoLayoutDeadlocksEvenIfSendsWaitForReceives) {
  const Lines table = ReadTable();
  std::vector<std::vector<int>> stage_sizes;
  for (int a = 1; a <= 4; ++a) {
    stage_sizes.push_back({a});
    for (int b = 1; b <= 4; ++b) {
      stage_sizes.push_back({a, b});
      for (int c = 1; c <= 4; ++c) {
        stage_sizes.push_back({a, b, c});
        for (int d = 1; d <= 4; ++d) stage_sizes.push_back({a, b, c, d});
      }
    }
  }
  for (const std::vector<int>& sizes : stage_sizes) {
    const GroupLayout layout = LayoutOf(sizes);
    const int in_flight = layout.num_stages();  // micro-batches, decoding
    std::vector<Lines> todo(layout.num_ranks());
    for (int rank = 0; rank < layout.num_ranks(); ++rank) {
      for (int plan = 0; plan < 12; ++plan) {
        const Lines lines =
            Expected(table, layout, rank, /*num_layers=*/2,
                     {.messages_due = plan >= in_flight ? 1 : 0});
        todo[rank].insert(todo[rank].end(), lines.begin(), lines.end());
      }
    }
    EXPECT_EQ(Rendezvous(layout, todo).Run(), "")
        << testing::PrintToString(sizes);
  }
}

}  // namespace
}  // namespace quatrain
