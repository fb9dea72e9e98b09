#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/request_parser.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "tests/coordinator/test_model.h"

// Requests in text format, read and parsed for the model of test_model.h.

namespace quatrain {

inline const Tokenizer& TestTokenizer() {
  static const auto* tokenizer = MakeTestTokenizer().release();
  return *tokenizer;
}

inline v1::GenerateRequest Request(const std::string& text) {
  v1::GenerateRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request))
      << text;
  return request;
}

inline absl::StatusOr<ParsedRequest> Parse(const v1::GenerateRequest& request,
                                           const ServedModel& model,
                                           int max_output_tokens = 0) {
  const auto defaults = ResolveDefaults(model);
  if (!defaults.ok()) return defaults.status();
  const RequestParser parser(&model, *defaults, max_output_tokens);
  return parser.Parse(request, "id", absl::UnixEpoch(), absl::InfiniteFuture());
}

inline absl::StatusOr<ParsedRequest> Parse(const std::string& request) {
  return Parse(Request(request), MakeTestModel(&TestTokenizer()));
}

inline GenerationRequest Accepted(const std::string& request) {
  auto parsed = Parse(request);
  EXPECT_TRUE(parsed.ok()) << request << ": " << parsed.status();
  return parsed.ok() ? parsed->generation : GenerationRequest{};
}

inline std::string Repeat(const std::string& text, int count) {
  std::string repeated;
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

}  // namespace quatrain
