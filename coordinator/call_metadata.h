#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"

namespace quatrain {

// The distribution's gRPC does not enforce a limit on metadata; this does,
// after receipt. RESOURCE_EXHAUSTED above 8 KiB, counted as HTTP/2 does (32
// bytes for each entry on top of its key and value).
absl::Status CheckMetadataSize(const grpc::CallbackServerContext& context);

// The body's id, else the one of the metadata key x-request-id, else a
// generated one. INVALID_ARGUMENT for one that may not be.
absl::StatusOr<std::string> ChooseRequestId(
    const grpc::CallbackServerContext& context, const std::string& body_id);

// "req-" and 32 hex digits, random.
std::string GenerateRequestId();

// Sends it back as x-request-id. Before anything else is sent.
void AnswerRequestId(grpc::CallbackServerContext* context,
                     const std::string& request_id);

// Sends back x-quatrain-group, with the status: which of many groups behind one
// address served the call. Before the status is sent.
void AnswerGroup(grpc::CallbackServerContext* context,
                 const std::string& group);

// For calls whose body has no id: chooses one and sends it back. An id that may
// not be is replaced.
std::string NameCall(grpc::CallbackServerContext* context);

}  // namespace quatrain
