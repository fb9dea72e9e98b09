#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"

namespace quatrain {

// Request-level errors as docs/api.md lists them. Inside the coordinator an
// error is an absl::Status that carries its details as payloads; at the edge it
// becomes a gRPC status with google.rpc details. A status without a reason gets
// the one that its code usually has.
//
// Messages name the value, the limit and the fix, never the text of a prompt.

inline constexpr char kErrorDomain[] = "quatrain";
using ErrorMetadata = std::map<std::string, std::string>;

// Adds ErrorInfo with this reason, or replaces it. `status` must not be OK.
absl::Status WithReason(absl::Status status, std::string_view reason,
                        const ErrorMetadata& metadata = {});

// Adds to the metadata of ErrorInfo, and to an error without a reason the usual
// one of its code.
absl::Status WithMetadata(absl::Status status, const ErrorMetadata& metadata);

ErrorMetadata MetadataOf(const absl::Status& status);

absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);

// INVALID_ARGUMENT, `field` is a path in the request ("sampling.top_p").
absl::Status InvalidParameter(std::string_view field,
                              std::string_view explanation);
// UNIMPLEMENTED: the value is legal but does not work yet.
absl::Status UnsupportedField(std::string_view field,
                              std::string_view explanation);
absl::Status UnsupportedCall(std::string_view rpc);
absl::Status PromptTooLong(std::string_view field, int64_t prompt_tokens,
                           int64_t max_model_len);
absl::Status PayloadTooLarge(std::string_view message);
absl::Status ModelNotFound(std::string_view name,
                           const std::vector<std::string>& served);
absl::Status DuplicateRequestId(std::string_view request_id);
absl::Status QueueFull(std::string_view message);
absl::Status EngineNotReady(std::string_view message);
absl::Status Draining();
absl::Status RequestTimeExceeded(absl::Duration limit);

// The reason in ErrorInfo, else the usual one of the code.
std::string ErrorReason(const absl::Status& status);

// With ErrorInfo, RequestInfo and the details that `status` carries.
grpc::Status ToGrpcStatus(const absl::Status& status,
                          std::string_view request_id);

// A value of the request for a message: quoted, escaped, shortened. Only for
// names and ids, never for prompts.
std::string Quoted(std::string_view value);

}  // namespace quatrain
