#include "coordinator/request_parser.h"

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/rich_status.h"

namespace quatrain {
namespace {

uint64_t RandomSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

void FillOutput(const v1::OutputOptions& output,
                GenerationRequest* generation) {
  generation->top_logprobs = static_cast<int>(output.top_logprobs());
  generation->logprobs = output.logprobs() || output.top_logprobs() > 0;
  if (output.has_prompt_logprobs())
    generation->prompt_logprobs = static_cast<int>(output.prompt_logprobs());
}

TextOptions Text(const v1::GenerateRequest& request) {
  TextOptions text;
  if (request.output().has_skip_special_tokens())
    text.skip_special_tokens = request.output().skip_special_tokens();
  text.stop.assign(request.stopping().stop().begin(),
                   request.stopping().stop().end());
  text.include_stop_in_output = request.stopping().include_stop_in_output();
  return text;
}

}  // namespace

RequestParser::RequestParser(const ServedModel* model,
                             const EffectiveDefaults& defaults,
                             int max_output_tokens)
    : model_(model),
      defaults_(defaults),
      limits_{.vocab_size = model->config.vocab_size,
              .max_output_tokens = max_output_tokens},
      eos_token_ids_(EosTokenIds(model->config, model->generation,
                                 model->tokenizer->eos_token_id())) {}

absl::Status RequestParser::CheckModel(const std::string& name) const {
  std::vector<std::string> served = model_->aliases;
  served.insert(served.begin(), model_->id);
  if (name.empty() ||
      std::find(served.begin(), served.end(), name) != served.end())
    return absl::OkStatus();
  return ModelNotFound(name, served);
}

absl::StatusOr<ParsedRequest> RequestParser::Parse(
    const v1::GenerateRequest& request, const std::string& request_id,
    absl::Time received, absl::Time deadline) const {
  RETURN_IF_ERROR(CheckModel(request.model()));
  RETURN_IF_ERROR(CheckRequestFields(request));
  ParsedRequest parsed;
  GenerationRequest& generation = parsed.generation;
  generation.request_id = request_id;
  generation.priority = request.priority();
  generation.deadline = deadline;
  FillSampling(request.sampling(), &generation);
  RETURN_IF_ERROR(
      CheckSampling(request.sampling(), generation.temperature, limits_));
  RETURN_IF_ERROR(CheckStopping(request.stopping(), limits_));
  FillStopping(request.stopping(), &generation);
  RETURN_IF_ERROR(CheckOutput(request.output()));
  FillOutput(request.output(), &generation);
  ASSIGN_OR_RETURN(generation.prompt_token_ids, Prompt(request));
  parsed.response = Response(request, generation);
  parsed.response.received = received;
  return parsed;
}

absl::StatusOr<std::vector<int32_t>> RequestParser::PromptIds(
    const v1::TokenIds& token_ids) const {
  for (int i = 0; i < token_ids.ids_size(); ++i) {
    if (token_ids.ids(i) < static_cast<uint32_t>(limits_.vocab_size)) continue;
    return CheckTokenId(absl::StrCat("token_ids.ids[", i, "]"),
                        token_ids.ids(i), limits_.vocab_size);
  }
  return std::vector<int32_t>(token_ids.ids().begin(), token_ids.ids().end());
}

absl::StatusOr<std::vector<int32_t>> RequestParser::Prompt(
    const v1::GenerateRequest& request) const {
  const char* field = request.has_text() ? "text" : "token_ids.ids";
  std::vector<int32_t> ids;
  if (request.has_text()) {
    const bool add_special =
        !request.has_add_special_tokens() || request.add_special_tokens();
    auto encoded = model_->tokenizer->Encode(request.text(), add_special);
    if (!encoded.ok())
      return InvalidParameter(field, std::string(encoded.status().message()));
    ids = *std::move(encoded);
    for (int32_t id : ids) {  // an added token that the model has no row for
      RETURN_IF_ERROR(
          CheckTokenId(field, static_cast<uint32_t>(id), limits_.vocab_size));
    }
  } else {
    ASSIGN_OR_RETURN(ids, PromptIds(request.token_ids()));
  }
  const size_t keep = request.has_truncate_prompt_tokens()
                          ? request.truncate_prompt_tokens()
                          : ids.size();
  if (ids.size() > keep) ids.erase(ids.begin(), ids.end() - keep);
  if (ids.empty())
    return InvalidParameter(field, "no tokens, accepted at least one");
  if (ids.size() + 1 > static_cast<size_t>(model_->max_model_len)) {
    return PromptTooLong(field, static_cast<int64_t>(ids.size()),
                         model_->max_model_len);
  }
  return ids;
}

void RequestParser::FillSampling(const v1::SamplingParams& sampling,
                                 GenerationRequest* generation) const {
  generation->temperature = sampling.has_temperature()
                                ? ClampTemperature(sampling.temperature())
                                : defaults_.temperature;
  generation->top_p = sampling.has_top_p() ? sampling.top_p() : defaults_.top_p;
  const int64_t top_k =
      sampling.has_top_k() ? int64_t{sampling.top_k()} : defaults_.top_k;
  generation->top_k = top_k >= limits_.vocab_size ? 0 : static_cast<int>(top_k);
  generation->seed = sampling.has_seed() ? sampling.seed() : RandomSeed();
}

// Where nobody states max_tokens, the context ends the sequence: a count that
// cannot be reached before it.
void RequestParser::FillStopping(const v1::StoppingParams& stopping,
                                 GenerationRequest* generation) const {
  int64_t max_tokens = model_->max_model_len;
  if (stopping.has_max_tokens()) {
    max_tokens = stopping.max_tokens();
  } else if (defaults_.max_tokens) {
    max_tokens = *defaults_.max_tokens;
  }
  if (limits_.max_output_tokens > 0)
    max_tokens = std::min<int64_t>(max_tokens, limits_.max_output_tokens);
  generation->max_tokens = static_cast<int>(
      std::min<int64_t>(max_tokens, std::numeric_limits<int>::max()));
  generation->stop_token_ids.assign(stopping.stop_token_ids().begin(),
                                    stopping.stop_token_ids().end());
  if (!stopping.ignore_eos()) generation->eos_token_ids = eos_token_ids_;
}

ResponseOptions RequestParser::Response(
    const v1::GenerateRequest& request,
    const GenerationRequest& generation) const {
  const v1::OutputOptions& output = request.output();
  ResponseOptions response;
  response.request_id = generation.request_id;
  response.model = model_->id;
  response.seed = generation.seed;
  response.prompt_tokens =
      static_cast<uint32_t>(generation.prompt_token_ids.size());
  response.return_text = !output.has_return_text() || output.return_text();
  response.return_token_ids = output.return_token_ids();
  response.logprobs = generation.logprobs;
  response.prompt_logprobs = generation.prompt_logprobs.has_value();
  response.ending_token_ids = generation.eos_token_ids;
  response.ending_token_ids.insert(response.ending_token_ids.end(),
                                   generation.stop_token_ids.begin(),
                                   generation.stop_token_ids.end());
  response.text = Text(request);
  return response;
}

}  // namespace quatrain
