#include "coordinator/call_metadata.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/parameter_checks.h"
#include "coordinator/rich_status.h"

namespace quatrain {
namespace {

constexpr char kRequestIdKey[] = "x-request-id";
constexpr char kGroupKey[] = "x-quatrain-group";
constexpr size_t kMaxMetadataBytes = 8 << 10;
constexpr size_t kBytesPerEntry = 32;

}  // namespace

absl::Status CheckMetadataSize(const grpc::CallbackServerContext& context) {
  size_t bytes = 0;
  for (const auto& [key, value] : context.client_metadata())
    bytes += key.size() + value.size() + kBytesPerEntry;
  if (bytes <= kMaxMetadataBytes) return absl::OkStatus();
  return PayloadTooLarge(absl::StrCat("metadata: ", bytes, " bytes, at most ",
                                      kMaxMetadataBytes, " are accepted"));
}

absl::StatusOr<std::string> ChooseRequestId(
    const grpc::CallbackServerContext& context, const std::string& body_id) {
  std::string id = body_id;
  const auto& metadata = context.client_metadata();
  if (const auto found = metadata.find(kRequestIdKey);
      id.empty() && found != metadata.end())
    id.assign(found->second.data(), found->second.size());
  if (id.empty()) return GenerateRequestId();
  RETURN_IF_ERROR(CheckRequestId(id));
  return id;
}

std::string GenerateRequestId() {
  std::random_device device;
  std::string id = "req-";
  for (int i = 0; i < 4; ++i)
    absl::StrAppend(&id, absl::Hex(device(), absl::kZeroPad8));
  return id;
}

void AnswerRequestId(grpc::CallbackServerContext* context,
                     const std::string& request_id) {
  context->AddInitialMetadata(kRequestIdKey, request_id);
}

void AnswerGroup(grpc::CallbackServerContext* context,
                 const std::string& group) {
  context->AddTrailingMetadata(kGroupKey, group);
}

std::string NameCall(grpc::CallbackServerContext* context) {
  const auto chosen = ChooseRequestId(*context, "");
  const std::string request_id = chosen.ok() ? *chosen : GenerateRequestId();
  AnswerRequestId(context, request_id);
  return request_id;
}

}  // namespace quatrain
