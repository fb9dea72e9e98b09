#include "worker/rank_factory.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/reference.h"

namespace quatrain {

absl::Status CheckBackend(const EngineSettings& settings) {
  if (settings.backend == "reference") return absl::OkStatus();
  if (settings.activations == Activations::kF32)
    return absl::InvalidArgumentError(
        "activations f32 work with backend reference only");
  return ChooseIsa(settings.isa).status();
}

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
    const EngineSettings& settings, const ActivationShape& /*shape*/,
    int64_t limit_bytes) {
  const BackendOptions options = {.num_slots = settings.max_num_seqs,
                                  .max_blocks = settings.max_blocks(),
                                  .block_size = settings.block_size,
                                  .max_tokens = settings.max_num_batched_tokens,
                                  .kv_dtype = settings.kv_dtype,
                                  .threads = settings.num_threads(),
                                  .spin = settings.may_spin(),
                                  .isa = settings.isa,
                                  .activations = settings.activations,
                                  .memory_limit_bytes = limit_bytes};
  if (settings.backend == "reference") return MakeReferenceBackend(options);
  return MakeCpuBackend(options);
}

}  // namespace quatrain
