#include "coordinator/rich_status.h"

#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "coordinator/proto_time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace quatrain {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/";

template <typename Detail>
std::string TypeUrl() {
  return absl::StrCat(kTypePrefix, Detail::descriptor()->full_name());
}

template <typename Detail>
std::optional<Detail> GetDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(TypeUrl<Detail>());
  Detail detail;
  if (!payload || !detail.ParseFromString(std::string(*payload)))
    return std::nullopt;
  return detail;
}

template <typename Detail>
absl::Status WithDetail(absl::Status status, const Detail& detail) {
  CHECK(!status.ok());
  status.SetPayload(TypeUrl<Detail>(), absl::Cord(detail.SerializeAsString()));
  return status;
}

template <typename Detail>
void Pack(const Detail& detail, google::rpc::Status* out) {
  CHECK(out->add_details()->PackFrom(detail));
}

template <typename Detail>
void PackIfSet(const absl::Status& status, google::rpc::Status* out) {
  if (const auto detail = GetDetail<Detail>(status)) Pack(*detail, out);
}

const char* UsualReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return "INVALID_PARAMETER";
    case absl::StatusCode::kUnimplemented:
      return "UNSUPPORTED_FEATURE";
    case absl::StatusCode::kNotFound:
      return "MODEL_NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "DUPLICATE_REQUEST_ID";
    case absl::StatusCode::kResourceExhausted:
      return "QUEUE_FULL";
    case absl::StatusCode::kFailedPrecondition:
      return "ENGINE_NOT_READY";
    case absl::StatusCode::kUnavailable:
      return "WORKER_LOST";
    case absl::StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    default:
      return "INTERNAL";
  }
}

absl::Status WithField(absl::Status status, std::string_view field,
                       std::string_view explanation) {
  google::rpc::BadRequest detail;
  auto* violation = detail.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(explanation));
  return WithDetail(std::move(status), detail);
}

std::string FieldMessage(std::string_view field, std::string_view explanation) {
  return absl::StrCat(std::string(field), ": ", std::string(explanation));
}

google::rpc::ErrorInfo InfoOf(const absl::Status& status) {
  auto info = GetDetail<google::rpc::ErrorInfo>(status);
  if (info) return *info;
  google::rpc::ErrorInfo usual;
  usual.set_reason(UsualReason(status.code()));
  usual.set_domain(kErrorDomain);
  return usual;
}

}  // namespace

absl::Status WithReason(absl::Status status, std::string_view reason,
                        const ErrorMetadata& metadata) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(kErrorDomain);
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  return WithDetail(std::move(status), info);
}

absl::Status WithMetadata(absl::Status status, const ErrorMetadata& metadata) {
  google::rpc::ErrorInfo info = InfoOf(status);
  for (const auto& [key, value] : metadata)
    (*info.mutable_metadata())[key] = value;
  return WithDetail(std::move(status), info);
}

ErrorMetadata MetadataOf(const absl::Status& status) {
  const google::rpc::ErrorInfo info = InfoOf(status);
  return ErrorMetadata(info.metadata().begin(), info.metadata().end());
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration delay) {
  google::rpc::RetryInfo retry;
  *retry.mutable_retry_delay() = ToDuration(delay);
  return WithDetail(std::move(status), retry);
}

absl::Status InvalidParameter(std::string_view field,
                              std::string_view explanation) {
  absl::Status status =
      absl::InvalidArgumentError(FieldMessage(field, explanation));
  return WithField(WithReason(std::move(status), "INVALID_PARAMETER"), field,
                   explanation);
}

absl::Status UnsupportedField(std::string_view field,
                              std::string_view explanation) {
  absl::Status status =
      absl::UnimplementedError(FieldMessage(field, explanation));
  status = WithReason(std::move(status), "UNSUPPORTED_FEATURE",
                      {{"field", std::string(field)}});
  return WithField(std::move(status), field, explanation);
}

absl::Status UnsupportedCall(std::string_view rpc) {
  return WithReason(absl::UnimplementedError(absl::StrCat(
                        std::string(rpc), " does not work in this version")),
                    "UNSUPPORTED_FEATURE", {{"rpc", std::string(rpc)}});
}

absl::Status PromptTooLong(std::string_view field, int64_t prompt_tokens,
                           int64_t max_model_len) {
  const std::string explanation = absl::StrCat(
      "prompt has ", prompt_tokens, " tokens, the context holds ",
      max_model_len, " of prompt and output: shorten the prompt to ",
      max_model_len - 1, " tokens, or set truncate_prompt_tokens");
  absl::Status status =
      absl::InvalidArgumentError(FieldMessage(field, explanation));
  status = WithReason(std::move(status), "PROMPT_TOO_LONG",
                      {{"prompt_tokens", absl::StrCat(prompt_tokens)},
                       {"max_model_len", absl::StrCat(max_model_len)}});
  return WithField(std::move(status), field, explanation);
}

absl::Status PayloadTooLarge(std::string_view message) {
  return WithReason(absl::ResourceExhaustedError(std::string(message)),
                    "PAYLOAD_TOO_LARGE");
}

absl::Status ModelNotFound(std::string_view name,
                           const std::vector<std::string>& served) {
  const std::string message =
      absl::StrCat("model ", Quoted(name),
                   " is not served; served: ", absl::StrJoin(served, ", "));
  google::rpc::ResourceInfo resource;
  resource.set_resource_type("model");
  resource.set_resource_name(name.size() <= 256 ? std::string(name)
                                                : Quoted(name));
  resource.set_description(message);
  return WithDetail(WithReason(absl::NotFoundError(message), "MODEL_NOT_FOUND"),
                    resource);
}

absl::Status DuplicateRequestId(std::string_view request_id) {
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat(
          "request_id: ", Quoted(request_id),
          " is live; wait for its end, or send another id, or none")),
      "DUPLICATE_REQUEST_ID");
}

absl::Status QueueFull(std::string_view message) {
  google::rpc::QuotaFailure failure;
  failure.add_violations()->set_subject("queue");
  failure.mutable_violations(0)->set_description(std::string(message));
  absl::Status status = absl::ResourceExhaustedError(std::string(message));
  status = WithDetail(WithReason(std::move(status), "QUEUE_FULL"), failure);
  return WithRetryAfter(std::move(status), absl::Seconds(1));
}

absl::Status EngineNotReady(std::string_view message) {
  absl::Status status = absl::UnavailableError(std::string(message));
  return WithRetryAfter(WithReason(std::move(status), "ENGINE_NOT_READY"),
                        absl::Seconds(1));
}

absl::Status Draining() {
  absl::Status status =
      absl::UnavailableError("this server is draining; send it elsewhere");
  return WithRetryAfter(WithReason(std::move(status), "DRAINING"),
                        absl::Seconds(1));
}

absl::Status RequestTimeExceeded(absl::Duration limit) {
  return WithReason(absl::DeadlineExceededError(absl::StrCat(
                        "request ran longer than this server's limit of ",
                        absl::FormatDuration(limit), " (--max-request-time)")),
                    "DEADLINE_EXCEEDED");
}

std::string ErrorReason(const absl::Status& status) {
  return InfoOf(status).reason();
}

grpc::Status ToGrpcStatus(const absl::Status& status,
                          std::string_view request_id) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status rich;
  rich.set_code(static_cast<int32_t>(status.code()));
  rich.set_message(std::string(status.message()));
  Pack(InfoOf(status), &rich);
  google::rpc::RequestInfo request;
  request.set_request_id(std::string(request_id));
  Pack(request, &rich);
  PackIfSet<google::rpc::BadRequest>(status, &rich);
  PackIfSet<google::rpc::RetryInfo>(status, &rich);
  PackIfSet<google::rpc::QuotaFailure>(status, &rich);
  PackIfSet<google::rpc::ResourceInfo>(status, &rich);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      rich.message(), rich.SerializeAsString());
}

std::string Quoted(std::string_view value) {
  constexpr size_t kShown = 64;
  std::string text = absl::CHexEscape(std::string(value.substr(0, kShown)));
  return absl::StrCat("'", text, value.size() > kShown ? "..." : "", "'");
}

}  // namespace quatrain
