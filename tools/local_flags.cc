#include "tools/local_flags.h"

#include "base/status_macros.h"

namespace quatrain {

void AddLocalFlags(CLI::App& app, const std::vector<std::string>& activations,
                   LocalFlags* f) {
  app.add_option("--tp,--tensor-parallel-size", f->layout.tp);
  app.add_option("--pp,--pipeline-parallel-size", f->layout.pp);
  app.add_option("--layers", f->layout.layers,
                 "layers of each stage: '0-39;40-79'");
  app.add_option("--tp-shares", f->layout.tp_shares,
                 "weights of a stage's ranks: '3,2,1;1,1'");
  app.add_option("--isa", f->isa, "force an instruction set");
  app.add_option("--activations", f->activations)
      ->check(CLI::IsMember(activations));
  app.add_option("--kv-cache-dtype", f->kv_cache_dtype)
      ->check(CLI::IsMember({"auto", "f16", "bf16", "f32"}));
  app.add_option("--threads", f->threads,
                 "of each rank; 0: the cores, shared by the ranks");
}

absl::StatusOr<EngineSettings> MakeLocalSettings(const LocalFlags& flags,
                                                 int num_layers) {
  EngineSettings settings;
  ASSIGN_OR_RETURN(settings.layout, MakeLayout(flags.layout, num_layers));
  settings.backend = flags.backend;
  settings.isa = flags.isa;
  settings.threads = flags.threads;
  ParseActivations(flags.activations, &settings.activations);  // CLI checked
  if (flags.kv_cache_dtype == "f32") settings.kv_dtype = DType::kF32;
  if (flags.kv_cache_dtype == "bf16") settings.kv_dtype = DType::kBF16;
  return settings;
}

}  // namespace quatrain
