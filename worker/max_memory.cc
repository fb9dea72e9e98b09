#include "worker/max_memory.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/byte_size.h"
#include "base/status_macros.h"
#include "worker/process_memory.h"

namespace quatrain {
namespace {

absl::Status Wrong(const std::string& entry, const std::string& expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("--max-memory: '", entry, "', expected ", expected));
}

std::vector<int64_t> Shared(int64_t bytes, int num_ranks) {
  return std::vector<int64_t>(num_ranks, bytes / num_ranks);
}

// Reads one "KEY=SIZE" into the limits of the ranks that it names.
absl::Status ReadEntry(const std::string& entry, int num_entries,
                       std::vector<int64_t>* limits) {
  const std::vector<std::string> parts = absl::StrSplit(entry, '=');
  if (parts.size() != 2) return Wrong(entry, "KEY=SIZE, as in cpu=4GiB");
  const absl::StatusOr<int64_t> bytes = ParseByteSize(parts[1]);
  if (!bytes.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("--max-memory: ", std::string(bytes.status().message())));
  const int num_ranks = static_cast<int>(limits->size());
  if (parts[0] == "cpu") {
    if (num_entries != 1)
      return Wrong(entry, "cpu alone, or one entry for each rank");
    *limits = Shared(*bytes, num_ranks);
    return absl::OkStatus();
  }
  int rank = 0;
  if (!absl::SimpleAtoi(parts[0], &rank) || rank < 0 || rank >= num_ranks)
    return Wrong(entry, absl::StrCat("cpu, or a rank of this process in 0..",
                                     num_ranks - 1));
  if ((*limits)[rank] >= 0) return Wrong(entry, "every rank once");
  (*limits)[rank] = *bytes;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> ParseMaxMemory(const std::string& text,
                                                    int num_ranks) {
  if (text.empty()) return Shared(DefaultMemoryBudget(), num_ranks);
  std::vector<int64_t> limits(num_ranks, -1);
  const std::vector<std::string> entries = absl::StrSplit(text, ',');
  for (const std::string& entry : entries)
    RETURN_IF_ERROR(
        ReadEntry(entry, static_cast<int>(entries.size()), &limits));
  for (int rank = 0; rank < num_ranks; ++rank)
    if (limits[rank] <= 0)
      return Wrong(text, absl::StrCat("more than 0 bytes for rank ", rank,
                                      " of this process"));
  return limits;
}

}  // namespace quatrain
