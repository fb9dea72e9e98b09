#pragma once

#include <string>
#include <vector>

#include "model/generation_config.h"
#include "model/model_config.h"
#include "model/tokenizer/tokenizer.h"

namespace quatrain {

// One stage of the pipeline, for GetServerInfo.
struct StageSummary {
  int first_layer = 0;
  int num_layers = 0;
  int tp_size = 1;
};

// What clients are told about the model, and what requests are checked against.
// Fixed once the server runs.
struct ServedModel {
  std::string id;
  std::vector<std::string> aliases;
  ModelConfig config;
  int max_model_len = 0;  // prompt and output together; >= 2
  GenerationDefaults generation;
  // Off (--generation-config none): the sampling defaults in `generation` count
  // as not stated. Its EOS ids count all the same.
  bool use_generation_defaults = true;
  const Tokenizer* tokenizer = nullptr;  // outlives the server
  std::string chat_template_digest;      // hex; empty: none
  std::vector<StageSummary> stages;
};

}  // namespace quatrain
