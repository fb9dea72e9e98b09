#include "coordinator/inference_service.h"

#include <utility>

#include "base/status_macros.h"
#include "coordinator/call_metadata.h"
#include "coordinator/health.h"
#include "coordinator/rich_status.h"
#include "coordinator/token_stream.h"
#include "coordinator/unary_call.h"

namespace quatrain {
namespace {

constexpr int kAdmissionThreads = 2;
constexpr size_t kMaxWaitingAdmissions = 4096;

absl::Status AdmissionFull() {
  return QueueFull("too many requests wait to be checked and tokenized");
}

// Ends at once with an error.
class RefusedBatch final
    : public grpc::ServerWriteReactor<v1::BatchGenerateResponse> {
 public:
  explicit RefusedBatch(const grpc::Status& status) { Finish(status); }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

InferenceService::InferenceService(const RequestParser* parser,
                                   const ServedModel* model, Engine* engine,
                                   std::shared_ptr<LiveCalls> calls,
                                   const CallOptions& options)
    : parser_(parser),
      model_(model),
      engine_(engine),
      calls_(std::move(calls)),
      options_(options),
      admission_(kAdmissionThreads, kMaxWaitingAdmissions) {}

grpc::ServerUnaryReactor* InferenceService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request,
    v1::GenerateResponse* response) {
  auto call = UnaryCall::Create(context, engine_, options_, response);
  UnaryCall* reactor = call.get();
  Start(context, *request, std::move(call));
  return reactor;
}

grpc::ServerWriteReactor<v1::GenerateStreamResponse>*
InferenceService::GenerateStream(grpc::CallbackServerContext* context,
                                 const v1::GenerateRequest* request) {
  auto stream = TokenStream::Create(context, engine_, options_);
  TokenStream* reactor = stream.get();
  Start(context, *request, std::move(stream));
  return reactor;
}

grpc::ServerWriteReactor<v1::BatchGenerateResponse>*
InferenceService::BatchGenerate(grpc::CallbackServerContext* context,
                                const v1::BatchGenerateRequest*) {
  AnswerGroup(context, options_.group);
  const std::string request_id = NameCall(context);
  return new RefusedBatch(
      ToGrpcStatus(UnsupportedCall("BatchGenerate"), request_id));
}

template <typename Call>
void InferenceService::Start(grpc::CallbackServerContext* context,
                             const v1::GenerateRequest& request,
                             std::shared_ptr<Call> call) {
  auto chosen = ChooseRequestId(*context, request.request_id());
  const std::string request_id = chosen.ok() ? *chosen : GenerateRequestId();
  AnswerRequestId(context, request_id);
  AnswerGroup(context, options_.group);
  call->SetRequestId(request_id);
  absl::Status status = chosen.status();
  status.Update(CheckMetadataSize(*context));
  if (status.ok()) status = CheckServing();
  if (status.ok()) status = call->Claim(request_id, calls_, call);
  if (!status.ok()) return call->Close(status);
  // The request is gRPC's, which drops it when the client goes: a copy.
  const auto job = [this, request, request_id, call] {
    if (call->closed()) return;
    const absl::Status admitted = Admit(request, request_id, call);
    if (!admitted.ok()) call->Close(admitted);
  };
  if (!admission_.TryRun(job)) call->Close(AdmissionFull());
}

absl::Status InferenceService::Admit(const v1::GenerateRequest& request,
                                     const std::string& request_id,
                                     std::shared_ptr<GenerationCall> call) {
  ASSIGN_OR_RETURN(
      ParsedRequest parsed,
      parser_->Parse(request, request_id, call->received(), call->deadline()));
  auto builder = std::make_unique<ResponseBuilder>(
      std::move(parsed.response), model_->tokenizer,
      parsed.generation.prompt_token_ids, call);
  const absl::Status submitted =
      engine_->Submit(std::move(parsed.generation), std::move(builder));
  if (!submitted.ok()) return RefusedBy(submitted);
  call->Submitted();
  return absl::OkStatus();
}

absl::Status InferenceService::CheckServing() const {
  if (draining_) return Draining();
  const EngineState state = engine_->state();
  if (state.phase == EnginePhase::kDraining) return Draining();
  if (TakesRequests(state.phase)) return absl::OkStatus();
  return EngineNotReady(state.message.empty() ? "the model is not ready yet"
                                              : state.message);
}

// Why the engine did not take it, as docs/api.md names it.
absl::Status InferenceService::RefusedBy(const absl::Status& status) const {
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      RETURN_IF_ERROR(CheckServing());
      return EngineNotReady(message);
    case absl::StatusCode::kResourceExhausted:
      return QueueFull(message);
    case absl::StatusCode::kInvalidArgument:
      return WithReason(status, "KV_CAPACITY");
    default:
      return status;
  }
}

grpc::ServerUnaryReactor* InferenceService::Tokenize(
    grpc::CallbackServerContext* context, const v1::TokenizeRequest* request,
    v1::TokenizeResponse* response) {
  AnswerGroup(context, options_.group);
  const std::string request_id = NameCall(context);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // Request and response live until the reactor finishes.
  const auto job = [=, this] {
    reactor->Finish(ToGrpcStatus(TokenizeText(*request, response), request_id));
  };
  absl::Status status = CheckMetadataSize(*context);
  if (status.ok() && !admission_.TryRun(job)) status = AdmissionFull();
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status, request_id));
  return reactor;
}

absl::Status InferenceService::TokenizeText(
    const v1::TokenizeRequest& request, v1::TokenizeResponse* response) const {
  RETURN_IF_ERROR(parser_->CheckModel(request.model()));
  if (request.has_chat())
    return UnsupportedField("chat", "chat input does not work in this version");
  if (!request.has_text()) return InvalidParameter("input", "none; set text");
  const bool add_special =
      !request.has_add_special_tokens() || request.add_special_tokens();
  const auto ids = model_->tokenizer->Encode(request.text(), add_special);
  if (!ids.ok())
    return InvalidParameter("text", std::string(ids.status().message()));
  response->mutable_token_ids()->Add(ids->begin(), ids->end());
  response->set_max_model_len(static_cast<uint32_t>(model_->max_model_len));
  if (!request.return_tokens()) return absl::OkStatus();
  for (int32_t id : *ids) {
    v1::Token* token = response->add_tokens();
    token->set_token_id(static_cast<uint32_t>(id));
    token->set_piece(model_->tokenizer->TokenText(id).value_or(""));
    token->set_text(model_->tokenizer->TokenBytes(id));
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* InferenceService::Detokenize(
    grpc::CallbackServerContext* context, const v1::DetokenizeRequest* request,
    v1::DetokenizeResponse* response) {
  AnswerGroup(context, options_.group);
  const std::string request_id = NameCall(context);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto job = [=, this] {
    reactor->Finish(
        ToGrpcStatus(DetokenizeIds(*request, response), request_id));
  };
  absl::Status status = CheckMetadataSize(*context);
  if (status.ok() && !admission_.TryRun(job)) status = AdmissionFull();
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status, request_id));
  return reactor;
}

absl::Status InferenceService::DetokenizeIds(
    const v1::DetokenizeRequest& request,
    v1::DetokenizeResponse* response) const {
  RETURN_IF_ERROR(parser_->CheckModel(request.model()));
  for (int i = 0; i < request.token_ids_size(); ++i) {
    RETURN_IF_ERROR(CheckTokenId(absl::StrCat("token_ids[", i, "]"),
                                 request.token_ids(i),
                                 model_->config.vocab_size));
  }
  const std::vector<int32_t> ids(request.token_ids().begin(),
                                 request.token_ids().end());
  response->set_text(model_->tokenizer->Decode(
      ids, {.skip_special_tokens = request.skip_special_tokens()}));
  return absl::OkStatus();
}

}  // namespace quatrain
