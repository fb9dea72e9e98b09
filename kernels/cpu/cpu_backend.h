#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/backend_options.h"
#include "kernels/cpu/isa.h"

namespace quatrain {

// docs/numerics.md by SIMD on threads of its own, one set per rank, equal to
// the reference bit for bit. InvalidArgument for an instruction set that is
// unknown or not on this machine; FailedPrecondition where the machine has none
// of ours, or for Activations::kF32, which only the reference has.
absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(
    const BackendOptions& options);

}  // namespace quatrain
