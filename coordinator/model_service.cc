#include "coordinator/model_service.h"

#include <utility>

#include "base/version.h"
#include "coordinator/call_metadata.h"
#include "coordinator/proto_time.h"
#include "coordinator/rich_status.h"

namespace quatrain {
namespace {

constexpr v1::Feature kFeatures[] = {
    v1::FEATURE_TEXT_INPUT,
    v1::FEATURE_TOKEN_IDS_INPUT,
    v1::FEATURE_STREAMING,
    v1::FEATURE_LOGPROBS,
    v1::FEATURE_PROMPT_LOGPROBS,
    v1::FEATURE_STOP_STRINGS,
    v1::FEATURE_SEED,
    v1::FEATURE_PRIORITY,
};

// Refuses metadata that is too large, else answers with `status`.
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                 absl::Status status = absl::OkStatus()) {
  const std::string request_id = NameCall(context);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status metadata = CheckMetadataSize(*context);
  if (!metadata.ok()) status = metadata;
  reactor->Finish(ToGrpcStatus(status, request_id));
  return reactor;
}

uint32_t Unsigned(int value) { return static_cast<uint32_t>(value); }

void DescribeQuantization(const QuantizationConfig& config,
                          v1::Quantization* out) {
  out->set_method("awq");
  out->set_bits(Unsigned(config.bits));
  out->set_group_size(config.group_size);
  out->set_zero_point(config.zero_point);
  out->set_layout(config.version);
}

}  // namespace

ModelService::ModelService(const RequestParser* parser,
                           const ServedModel* model, const Engine* engine,
                           std::function<bool()> draining)
    : parser_(parser),
      model_(model),
      engine_(engine),
      draining_(std::move(draining)) {}

grpc::ServerUnaryReactor* ModelService::ListModels(
    grpc::CallbackServerContext* context, const v1::ListModelsRequest*,
    v1::ListModelsResponse* response) {
  v1::ModelSummary* summary = response->add_models();
  summary->set_id(model_->id);
  summary->mutable_aliases()->Add(model_->aliases.begin(),
                                  model_->aliases.end());
  summary->set_max_model_len(Unsigned(model_->max_model_len));
  return Answer(context);
}

grpc::ServerUnaryReactor* ModelService::GetModel(
    grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
    v1::GetModelResponse* response) {
  absl::Status status = parser_->CheckModel(request->model());
  if (status.ok()) Describe(response);
  return Answer(context, std::move(status));
}

void ModelService::Describe(v1::GetModelResponse* response) const {
  const ModelConfig& config = model_->config;
  response->set_id(model_->id);
  response->mutable_aliases()->Add(model_->aliases.begin(),
                                   model_->aliases.end());
  response->set_architecture(config.architecture);
  if (config.quantization) {
    DescribeQuantization(*config.quantization,
                         response->mutable_quantization());
  }
  response->set_max_model_len(Unsigned(model_->max_model_len));
  response->set_vocab_size(Unsigned(config.vocab_size));
  v1::SpecialTokenIds* special = response->mutable_special_token_ids();
  if (config.bos_token_id)
    special->set_bos_token_id(Unsigned(*config.bos_token_id));
  for (int32_t id : EosTokenIds(config, model_->generation,
                                model_->tokenizer->eos_token_id()))
    special->add_eos_token_ids(Unsigned(id));
  const EffectiveDefaults& effective = parser_->defaults();
  v1::DefaultParams* defaults = response->mutable_defaults();
  defaults->set_temperature(effective.temperature);
  defaults->set_top_p(effective.top_p);
  defaults->set_top_k(Unsigned(effective.top_k));
  if (effective.max_tokens)
    defaults->set_max_tokens(Unsigned(*effective.max_tokens));
  if (model_->use_generation_defaults) {
    for (const std::string& setting : model_->generation.unsupported)
      response->add_unsupported_defaults(setting);
  }
  response->set_tokenizer_digest(model_->tokenizer->digest());
  response->set_chat_template_digest(model_->chat_template_digest);
  for (v1::Feature feature : kFeatures) response->add_features(feature);
}

grpc::ServerUnaryReactor* ModelService::GetServerInfo(
    grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
    v1::GetServerInfoResponse* response) {
  response->set_version(kVersion);
  response->set_git_revision(kGitRevision);
  response->set_build_id(kBuildId);
  response->set_api_version("quatrain.v1");
  *response->mutable_uptime() = ToDuration(absl::Now() - started_);
  response->set_state(State());
  for (const StageSummary& stage : model_->stages) {
    v1::Stage* out = response->mutable_layout()->add_stages();
    out->set_first_layer(Unsigned(stage.first_layer));
    out->set_num_layers(Unsigned(stage.num_layers));
    out->set_tp_size(Unsigned(stage.tp_size));
  }
  for (v1::Feature feature : kFeatures) response->add_features(feature);
  return Answer(context);
}

v1::ServerState ModelService::State() const {
  const EnginePhase phase = engine_->state().phase;
  if (draining_() && phase != EnginePhase::kFailed)
    return v1::SERVER_STATE_DRAINING;
  switch (phase) {
    case EnginePhase::kStarting:
      return v1::SERVER_STATE_STARTING;
    case EnginePhase::kLoading:
      return v1::SERVER_STATE_LOADING;
    case EnginePhase::kReady:
      return v1::SERVER_STATE_READY;
    case EnginePhase::kDegraded:
      return v1::SERVER_STATE_DEGRADED;
    case EnginePhase::kDraining:
      return v1::SERVER_STATE_DRAINING;
    case EnginePhase::kFailed:
      return v1::SERVER_STATE_FAILED;
  }
  return v1::SERVER_STATE_UNSPECIFIED;
}

grpc::ServerUnaryReactor* ModelService::GetLoad(
    grpc::CallbackServerContext* context, const v1::GetLoadRequest*,
    v1::GetLoadResponse* response) {
  const EngineStats stats = engine_->stats();
  response->set_running_requests(Unsigned(stats.num_running));
  response->set_waiting_requests(Unsigned(stats.num_waiting));
  response->set_used_blocks(Unsigned(stats.num_used_blocks));
  response->set_total_blocks(Unsigned(stats.num_blocks));
  response->set_block_size(Unsigned(stats.block_size));
  *response->mutable_recent_step_time() = ToDuration(stats.median_step_time);
  return Answer(context);
}

}  // namespace quatrain
