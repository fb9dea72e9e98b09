#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace grpc {
class ChannelInterface;
}

namespace quatrain {

// Asks grpc.health.v1.Health/Check once, waiting at most two seconds. OK if the
// service is SERVING; Unavailable otherwise, saying what was answered.
absl::Status CheckHealth(const std::shared_ptr<grpc::ChannelInterface>& channel,
                         const std::string& service);

}  // namespace quatrain
