#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernels/emu/checks.h"
#include "kernels/emu/fail.h"

// UBSan's findings as faults of the launch instead of the process's end. These
// take the place of libubsan's functions of the same names.
namespace simt::emu {
namespace {

// The beginning of every handler's data.
struct SourceLocation {
  const char* file;
  uint32_t line;
  uint32_t column;
};

struct TypeMismatchData {
  SourceLocation where;
  const void* type;
  unsigned char log_alignment;
  unsigned char kind;
};

[[noreturn]] void Report(const void* data, Fault fault, const char* what) {
  const auto& where = *static_cast<const SourceLocation*>(data);
  const char* file = where.file != nullptr ? where.file : "?";
  if (CurrentLane() != nullptr)
    Fail(fault, {file, static_cast<int>(where.line)}, "%s", what);
  std::fprintf(stderr, "%s:%u: undefined behaviour on the host: %s\n", file,
               where.line, what);
  std::abort();
}

[[noreturn]] void TypeMismatch(const TypeMismatchData* data, uintptr_t p) {
  if (p == 0) Report(data, Fault::kWildPointer, "a null pointer is used");
  const uintptr_t alignment = uintptr_t{1} << data->log_alignment;
  if (p % alignment != 0)
    Report(data, Fault::kMisaligned,
           "an access that is not on its type's boundary");
  Report(data, Fault::kUndefined, "an access to too few bytes for its type");
}

}  // namespace
}  // namespace simt::emu

using simt::Fault;
using simt::emu::Report;

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
#endif

#define SIMT_HANDLER(name, what)                         \
  void __ubsan_handle_##name(const void* data) {         \
    Report(data, Fault::kUndefined, what);               \
  }                                                      \
  void __ubsan_handle_##name##_abort(const void* data) { \
    Report(data, Fault::kUndefined, what);               \
  }

extern "C" {

void __ubsan_handle_type_mismatch_v1(const void* data, uintptr_t p) {
  simt::emu::TypeMismatch(static_cast<const simt::emu::TypeMismatchData*>(data),
                          p);
}
void __ubsan_handle_type_mismatch_v1_abort(const void* data, uintptr_t p) {
  __ubsan_handle_type_mismatch_v1(data, p);
}
SIMT_HANDLER(add_overflow, "a sum overflows")
SIMT_HANDLER(sub_overflow, "a difference overflows")
SIMT_HANDLER(mul_overflow, "a product overflows")
SIMT_HANDLER(negate_overflow, "a negation overflows")
SIMT_HANDLER(divrem_overflow, "a division by zero or that overflows")
SIMT_HANDLER(shift_out_of_bounds, "a shift by too much or of too much")
SIMT_HANDLER(out_of_bounds, "an index outside of its array")
SIMT_HANDLER(pointer_overflow, "pointer arithmetic overflows")
SIMT_HANDLER(builtin_unreachable, "the unreachable is reached")
SIMT_HANDLER(missing_return, "a function ends without a value")
SIMT_HANDLER(vla_bound_not_positive, "an array of no positive size")
SIMT_HANDLER(load_invalid_value, "a bool or enum with no value of its type")
SIMT_HANDLER(float_cast_overflow, "a float does not fit the integer")
SIMT_HANDLER(nonnull_arg, "a null argument that must not be")
SIMT_HANDLER(nonnull_return_v1, "a null result that must not be")
SIMT_HANDLER(invalid_builtin, "a builtin called with 0")
SIMT_HANDLER(alignment_assumption, "a pointer less aligned than assumed")
SIMT_HANDLER(function_type_mismatch, "a call through the wrong type")
SIMT_HANDLER(function_type_mismatch_v1, "a call through the wrong type")

}  // extern "C"
