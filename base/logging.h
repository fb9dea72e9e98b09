#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "spdlog/spdlog.h"

namespace quatrain {

// Logs go to stderr, one line an event, through spdlog's free functions
// (spdlog::info, warn, error). Call once, early in main(). `level` is one of
// trace, debug, info, warn, error, off; `role` stands in each line.
absl::Status StartLogging(std::string_view level, std::string_view role);

}  // namespace quatrain
