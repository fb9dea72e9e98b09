#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "quatrain/v1/inference.pb.h"

namespace quatrain {

// The ranges of docs/api.md, one function per part of a request. The first
// field that is wrong makes the error: INVALID_ARGUMENT for a value out of its
// range, UNIMPLEMENTED for one that is legal and does not work yet.

struct ParameterLimits {
  int vocab_size = 0;
  int max_output_tokens = 0;  // 0: the context is the only limit
  int max_choices = 16;
};

// `temperature` is the effective one: greedy choices cannot differ.
absl::Status CheckSampling(const v1::SamplingParams& sampling,
                           float temperature, const ParameterLimits& limits);
absl::Status CheckStopping(const v1::StoppingParams& stopping,
                           const ParameterLimits& limits);
absl::Status CheckOutput(const v1::OutputOptions& output);

// The fields of the request itself that do not work yet, or contradict each
// other.
absl::Status CheckRequestFields(const v1::GenerateRequest& request);

// INVALID_ARGUMENT unless 0 <= id < vocab_size.
absl::Status CheckTokenId(std::string_view field, uint32_t id, int vocab_size);

// [A-Za-z0-9._:-]{1,128}
absl::Status CheckRequestId(std::string_view request_id);

}  // namespace quatrain
