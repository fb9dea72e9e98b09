#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/generation_parameters.h"
#include "coordinator/parameter_checks.h"
#include "coordinator/request.h"
#include "coordinator/response_builder.h"
#include "coordinator/served_model.h"
#include "quatrain/v1/inference.pb.h"

namespace quatrain {

struct ParsedRequest {
  GenerationRequest generation;
  ResponseOptions response;
};

// Turns a client's request into what the step loop takes: checked, tokenized,
// every default filled in. Immutable: any number of threads.
class RequestParser {
 public:
  // `model` and its tokenizer must outlive this.
  RequestParser(const ServedModel* model, const EffectiveDefaults& defaults,
                int max_output_tokens);

  // The errors of docs/api.md, with their details. `request_id` has been
  // checked; `received` and `deadline` are passed on.
  absl::StatusOr<ParsedRequest> Parse(const v1::GenerateRequest& request,
                                      const std::string& request_id,
                                      absl::Time received,
                                      absl::Time deadline) const;

  // NOT_FOUND unless `name` is empty, the id or an alias.
  absl::Status CheckModel(const std::string& name) const;

  const EffectiveDefaults& defaults() const { return defaults_; }

 private:
  absl::StatusOr<std::vector<int32_t>> Prompt(
      const v1::GenerateRequest& request) const;
  absl::StatusOr<std::vector<int32_t>> PromptIds(
      const v1::TokenIds& token_ids) const;
  void FillSampling(const v1::SamplingParams& sampling,
                    GenerationRequest* generation) const;
  void FillStopping(const v1::StoppingParams& stopping,
                    GenerationRequest* generation) const;
  ResponseOptions Response(const v1::GenerateRequest& request,
                           const GenerationRequest& generation) const;

  const ServedModel* model_;
  const EffectiveDefaults defaults_;
  const ParameterLimits limits_;
  const std::vector<int32_t> eos_token_ids_;
};

}  // namespace quatrain
