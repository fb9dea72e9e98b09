#include "worker/rank_threads.h"

#include <thread>
#include <vector>

#include "base/status_macros.h"

namespace quatrain {

absl::Status ForEachRank(std::span<const std::unique_ptr<Rank>> ranks,
                         const std::function<absl::Status(Rank&)>& job) {
  std::vector<absl::Status> statuses(ranks.size());
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < ranks.size(); ++i)
    threads.emplace_back([&, i] { statuses[i] = job(*ranks[i]); });
  threads.clear();  // joins
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

}  // namespace quatrain
