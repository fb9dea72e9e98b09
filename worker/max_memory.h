#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quatrain {

// A device of this process that a rank may use: on a CPU, a share of the
// process.
struct DeviceLimit {
  int ordinal = 0;
  // Of everything that the rank there holds; nothing: the default.
  std::optional<int64_t> bytes;
};

// Reads --max-memory for a process of `num_devices` CPU devices: "cpu=SIZE" is
// the budget of the process, shared evenly; "0=SIZE,1=SIZE" gives each device
// its own, where a device that is not named, or has 0 bytes, is not used.
// Empty: all devices, with the default. Sizes are ParseByteSize's. Returns the
// devices that are used, at least one, by ordinal. InvalidArgument, naming the
// entry, for anything else.
absl::StatusOr<std::vector<DeviceLimit>> ParseMaxMemory(const std::string& text,
                                                        int num_devices);

// What a process can give its ranks now.
struct MemoryBudget {
  std::vector<int64_t> limits;  // of each device, in bytes
  std::string warning;          // what was wanted and what there is, or ""
};

// A limit is a ceiling: where `wanted` asks for more than the `free_bytes` that
// the process can get (AvailableBytes()), the largest limits are lowered until
// their sum fits. The default is half of that, divided by all ranks of the
// host.
MemoryBudget BudgetOf(const std::vector<DeviceLimit>& wanted,
                      int64_t free_bytes, int ranks_on_host);

}  // namespace quatrain
