#include "worker/max_memory.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/byte_size.h"
#include "base/status_macros.h"

namespace quatrain {
namespace {

absl::Status Wrong(const std::string& entry, const std::string& expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("--max-memory: '", entry, "', expected ", expected));
}

// Keys that mean something where there are other devices than CPUs.
absl::Status CheckKey(const std::string& key, const std::string& entry) {
  if (key == "disk")
    return Wrong(entry,
                 "no disk: weights stay in memory, none are offloaded; take "
                 "more ranks where they do not fit");
  if (key == "host")
    return Wrong(entry,
                 "no host: it bounds the load buffers of GPU workers, and the "
                 "ranks here are CPUs, whose load buffers are in cpu");
  return absl::OkStatus();
}

struct Entry {
  std::string key;
  int64_t bytes = 0;
};

absl::StatusOr<Entry> ReadEntry(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '=');
  RETURN_IF_ERROR(CheckKey(parts[0], text));
  if (parts.size() != 2) return Wrong(text, "KEY=SIZE, as in cpu=4GiB");
  const absl::StatusOr<int64_t> bytes = ParseByteSize(parts[1]);
  if (!bytes.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("--max-memory: ", std::string(bytes.status().message())));
  return Entry{parts[0], *bytes};
}

std::vector<DeviceLimit> AllDevices(int num_devices,
                                    std::optional<int64_t> bytes) {
  std::vector<DeviceLimit> devices;
  for (int ordinal = 0; ordinal < num_devices; ++ordinal)
    devices.push_back({ordinal, bytes});
  return devices;
}

absl::Status AddDevice(const std::string& text, int num_devices,
                       std::map<int, int64_t>* limits) {
  ASSIGN_OR_RETURN(const Entry entry, ReadEntry(text));
  if (entry.key == "cpu")
    return Wrong(text,
                 "cpu alone, with more than 0 bytes for each device, or an "
                 "entry for each device");
  int ordinal = 0;
  if (!absl::SimpleAtoi(entry.key, &ordinal) || ordinal < 0 ||
      ordinal >= num_devices)
    return Wrong(text, absl::StrCat("cpu, or a device of this process in 0..",
                                    num_devices - 1));
  if (!limits->emplace(ordinal, entry.bytes).second)
    return Wrong(text, "every device once");
  return absl::OkStatus();
}

// The small limits first: what they leave is shared by the larger ones.
void LowerTo(int64_t total, std::vector<int64_t>* limits) {
  std::vector<int64_t*> by_size;
  for (int64_t& limit : *limits) by_size.push_back(&limit);
  std::sort(by_size.begin(), by_size.end(),
            [](const int64_t* a, const int64_t* b) { return *a < *b; });
  int64_t num_left = static_cast<int64_t>(by_size.size());
  for (int64_t* limit : by_size) {
    *limit = std::min(*limit, total / num_left--);
    total -= *limit;
  }
}

}  // namespace

absl::StatusOr<std::vector<DeviceLimit>> ParseMaxMemory(const std::string& text,
                                                        int num_devices) {
  if (text.empty()) return AllDevices(num_devices, std::nullopt);
  const std::vector<std::string> entries = absl::StrSplit(text, ',');
  if (entries.size() == 1) {
    ASSIGN_OR_RETURN(const Entry entry, ReadEntry(text));
    const int64_t share = entry.bytes / num_devices;
    if (entry.key == "cpu" && share > 0) return AllDevices(num_devices, share);
  }
  std::map<int, int64_t> limits;
  for (const std::string& entry : entries)
    RETURN_IF_ERROR(AddDevice(entry, num_devices, &limits));
  std::vector<DeviceLimit> devices;
  for (const auto& [ordinal, bytes] : limits)
    if (bytes > 0) devices.push_back({ordinal, bytes});
  if (devices.empty()) return Wrong(text, "a device with more than 0 bytes");
  return devices;
}

MemoryBudget BudgetOf(const std::vector<DeviceLimit>& wanted,
                      int64_t free_bytes, int ranks_on_host) {
  const int num_devices = static_cast<int>(wanted.size());
  const int64_t share =
      free_bytes / 2 / std::max({ranks_on_host, num_devices, 1});
  MemoryBudget budget;
  for (const DeviceLimit& device : wanted)
    budget.limits.push_back(device.bytes.value_or(share));
  const double total =
      std::accumulate(budget.limits.begin(), budget.limits.end(), 0.0);
  if (free_bytes <= 0 || total <= static_cast<double>(free_bytes))
    return budget;
  budget.warning = absl::StrCat(
      "--max-memory: ", FormatByteSize(static_cast<int64_t>(total)),
      " for this process, but only ", FormatByteSize(free_bytes),
      " are free; it plans with these");
  LowerTo(free_bytes, &budget.limits);
  return budget;
}

}  // namespace quatrain
