#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/backend_options.h"

namespace quatrain {

// Every operation as naive loops over docs/numerics.md: the definition of
// correct, on one thread, for any machine. Weights are kept one byte per int4
// value, so it needs twice the memory of kernels/cpu.
absl::StatusOr<std::unique_ptr<Backend>> MakeReferenceBackend(
    const BackendOptions& options);

}  // namespace quatrain
