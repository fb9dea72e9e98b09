#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "worker/activation_buffers.h"
#include "worker/engine_settings.h"

namespace quatrain {

// Whether MakeBackend can make what `settings` name on this machine.
// InvalidArgument or FailedPrecondition for an instruction set that does not
// exist or that the machine lacks, and for activations that only the reference
// has.
absl::Status CheckBackend(const EngineSettings& settings);

// Makes the backend of one rank: the one place that picks a device.
// limit_bytes: of its DeviceMemory. Errors are CheckBackend's, and
// ResourceExhausted.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
    const EngineSettings& settings, const ActivationShape& shape,
    int64_t limit_bytes);

}  // namespace quatrain
