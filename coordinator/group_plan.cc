#include "coordinator/group_plan.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/byte_size.h"
#include "base/check.h"

namespace quatrain {
namespace {

namespace pb = internal::v1;

int64_t TermsOf(const pb::ShardPlanReport& report) {
  int64_t total = 0;
  for (const pb::MemoryTerm& term : report.terms()) total += term.bytes();
  return total;
}

std::string Terms(const pb::ShardPlanReport& report) {
  std::string text;
  for (const pb::MemoryTerm& term : report.terms())
    absl::StrAppend(&text, term.name(), " ", FormatByteSize(term.bytes()),
                    ", ");
  return text;
}

absl::Status DoesNotFit(const RankBudget& budget, int64_t needed_blocks,
                        int block_size, int max_model_len) {
  const pb::ShardPlanReport& report = budget.report;
  const int64_t kv_bytes = needed_blocks * report.kv_bytes_per_block();
  const int64_t needed = TermsOf(report) + kv_bytes;
  std::string message = absl::StrCat(
      "does not fit: rank ", report.rank(), " (worker \"",
      budget.member->key.name, "\" on ", budget.member->hello.host(),
      ") needs ", FormatByteSize(needed), ", limit ",
      FormatByteSize(report.limit_bytes()), ", short by ",
      FormatByteSize(std::max<int64_t>(needed - report.limit_bytes(), 0)), ": ",
      Terms(report), "kv ", FormatByteSize(kv_bytes), " (", needed_blocks,
      " blocks of ", block_size, " tokens, one sequence of --max-model-len ",
      max_model_len, ")");
  if (report.num_blocks() > 0)
    absl::StrAppend(&message, "; --max-model-len ",
                    report.num_blocks() * block_size, " fits");
  return absl::ResourceExhaustedError(message);
}

std::string Cell(int64_t bytes) {
  return absl::StrFormat("%12s", FormatByteSize(bytes));
}

}  // namespace

std::vector<GroupMember> PlaceRanks(const Layout& layout,
                                    const std::vector<WorkerView>& workers) {
  std::vector<GroupMember> members;
  int rank = 0;
  for (const WorkerView& worker : workers) {
    GroupMember member = {
        .key = {worker.hello.worker_name(), worker.hello.incarnation()},
        .hello = worker.hello};
    for (int device = 0; device < worker.hello.devices_size(); ++device) {
      pb::RankPlace place;
      place.set_rank(rank);
      place.set_stage(layout.StageOf(rank));
      place.set_tp_rank(layout.TpRankOf(rank));
      place.set_device(device);
      member.places.push_back(place);
      ++rank;
    }
    members.push_back(std::move(member));
  }
  CHECK_EQ(rank, layout.num_ranks());
  return members;
}

pb::Layout EncodeLayout(const Layout& layout) {
  pb::Layout message;
  for (const Stage& stage : layout.stages) {
    pb::Stage* out = message.add_stages();
    out->set_layer_begin(stage.layers.begin);
    out->set_layer_end(stage.layers.end);
    for (const auto share : stage.shares)
      out->add_shares(static_cast<double>(share));
  }
  return message;
}

absl::StatusOr<std::vector<RankBudget>> CollectBudgets(
    const std::vector<GroupMember>& members,
    const std::vector<pb::Reply>& replies, int num_ranks) {
  std::vector<RankBudget> budgets(num_ranks);
  for (size_t i = 0; i < members.size(); ++i) {
    for (const pb::ShardPlanReport& report : replies[i].shard_plans()) {
      const bool is_its_own = std::any_of(
          members[i].places.begin(), members[i].places.end(),
          [&](const pb::RankPlace& p) { return p.rank() == report.rank(); });
      if (!is_its_own || report.rank() >= static_cast<uint32_t>(num_ranks) ||
          budgets[report.rank()].member != nullptr) {
        return absl::InternalError(
            absl::StrCat(Describe(members[i]), ": planned rank ", report.rank(),
                         ", which is not its own"));
      }
      budgets[report.rank()] = {.member = &members[i], .report = report};
    }
  }
  for (int rank = 0; rank < num_ranks; ++rank) {
    if (budgets[rank].member == nullptr)
      return absl::InternalError(
          absl::StrCat("rank ", rank, ": no worker planned it"));
  }
  return budgets;
}

absl::StatusOr<int> ChooseNumBlocks(const std::vector<RankBudget>& budgets,
                                    int block_size, int max_model_len,
                                    int max_num_seqs, int max_num_blocks) {
  const auto tightest =
      std::min_element(budgets.begin(), budgets.end(),
                       [](const RankBudget& a, const RankBudget& b) {
                         return a.report.num_blocks() < b.report.num_blocks();
                       });
  const int64_t needed = (max_model_len + block_size - 1) / block_size;
  const int64_t fitting = tightest->report.num_blocks();
  if (fitting < std::max<int64_t>(needed, 1))
    return DoesNotFit(*tightest, needed, block_size, max_model_len);
  // More than all slots at full length is of no use to anybody.
  int64_t num_blocks = std::min<int64_t>(
      {fitting, needed * max_num_seqs, std::numeric_limits<int32_t>::max()});
  if (max_num_blocks > 0)
    num_blocks = std::min<int64_t>(num_blocks, max_num_blocks);
  if (num_blocks < needed) {
    return absl::InvalidArgumentError(absl::StrCat(
        "limit of ", max_num_blocks, " KV blocks: one sequence of ",
        max_model_len, " tokens needs ", needed));
  }
  return static_cast<int>(num_blocks);
}

std::vector<std::string> FormatBudgets(const std::vector<RankBudget>& budgets,
                                       int num_blocks) {
  std::vector<std::string> lines;
  std::string head =
      absl::StrFormat("%4s %-16s%12s", "rank", "worker", "limit");
  for (const pb::MemoryTerm& term : budgets.front().report.terms())
    absl::StrAppend(&head, absl::StrFormat("%12s", term.name()));
  lines.push_back(absl::StrCat(head, absl::StrFormat("%12s", "kv")));
  for (const RankBudget& budget : budgets) {
    const pb::ShardPlanReport& report = budget.report;
    std::string line =
        absl::StrFormat("%4d %-16s%s", report.rank(), budget.member->key.name,
                        Cell(report.limit_bytes()));
    for (const pb::MemoryTerm& term : report.terms())
      absl::StrAppend(&line, Cell(term.bytes()));
    lines.push_back(
        absl::StrCat(line, Cell(num_blocks * report.kv_bytes_per_block())));
  }
  return lines;
}

std::vector<int> RanksOf(const GroupMember& member) {
  std::vector<int> ranks;
  for (const pb::RankPlace& place : member.places)
    ranks.push_back(static_cast<int>(place.rank()));
  return ranks;
}

std::string Describe(const GroupMember& member) {
  const std::vector<int> ranks = RanksOf(member);
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ",
                      absl::StrJoin(ranks, ", "), " (worker \"",
                      member.key.name, "\" on ", member.hello.host(), ")");
}

}  // namespace quatrain
