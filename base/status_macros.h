#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Error propagation, named as in newer releases of Abseil, so that upgrading
// deletes this file and nothing else.
#define RETURN_IF_ERROR(expr)          \
  do {                                 \
    absl::Status status_ = (expr);     \
    if (!status_.ok()) return status_; \
  } while (false)

// Declares or assigns `lhs`. Expands to several statements: needs braces
// around it when it is the body of an `if`.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_(STATUS_CONCAT_(result_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_(result, lhs, expr)           \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = *std::move(result)
#define STATUS_CONCAT_(a, b) STATUS_CONCAT_IMPL_(a, b)
#define STATUS_CONCAT_IMPL_(a, b) a##b
