#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/worker_registry.h"
#include "model/layout.h"
#include "quatrain/internal/v1/group.pb.h"

namespace quatrain {

// One worker process and the ranks it hosts.
struct GroupMember {
  WorkerKey key;
  internal::v1::Hello hello;
  std::vector<internal::v1::RankPlace> places;
};

// The ranks dealt out to the workers' devices in order. `workers` must bring
// exactly as many devices as the layout has ranks.
std::vector<GroupMember> PlaceRanks(const Layout& layout,
                                    const std::vector<WorkerView>& workers);

// The layout as every rank is told.
internal::v1::Layout EncodeLayout(const Layout& layout);

// What a rank answered to PlanShard, and whose it is.
struct RankBudget {
  const GroupMember* member = nullptr;
  internal::v1::ShardPlanReport report;
};

// The reports of all ranks, by rank. Internal if one is missing or comes twice.
absl::StatusOr<std::vector<RankBudget>> CollectBudgets(
    const std::vector<GroupMember>& members,
    const std::vector<internal::v1::Reply>& replies, int num_ranks);

// Blocks of the group's KV pools: what the tightest rank holds, at most
// `max_num_blocks` if that is not 0. ResourceExhausted, with the rank's
// numbers per term, unless one sequence of `max_model_len` tokens fits.
absl::StatusOr<int> ChooseNumBlocks(const std::vector<RankBudget>& budgets,
                                    int block_size, int max_model_len,
                                    int max_num_seqs, int max_num_blocks);

// For people, in lines: per rank its limit and what goes into it.
std::vector<std::string> FormatBudgets(const std::vector<RankBudget>& budgets,
                                       int num_blocks);

// In ascending order; none if the group was never complete.
std::vector<int> RanksOf(const GroupMember& member);

// "ranks 2, 3 (worker "w1" on host7)".
std::string Describe(const GroupMember& member);

}  // namespace quatrain
