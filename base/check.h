#pragma once

#include <sstream>

// CHECK(condition) << "context": for our own bugs only (a broken invariant, an
// impossible value). Prints the place, the condition and the context, and
// aborts. What a file, a peer or a user can cause is an absl::Status instead.
//
// Named as in newer releases of Abseil, which replace this file.
#define CHECK(condition) \
  switch (0)             \
  case 0:                \
  default:               \
    if (condition)       \
      [[likely]];        \
    else                 \
      ::quatrain::CheckFailure(__FILE__, __LINE__, #condition).stream()

#define CHECK_OP_(a, b, op) \
  CHECK((a)op(b)) << #a " = " << (a) << ", " #b " = " << (b) << " "
#define CHECK_EQ(a, b) CHECK_OP_(a, b, ==)
#define CHECK_NE(a, b) CHECK_OP_(a, b, !=)
#define CHECK_LE(a, b) CHECK_OP_(a, b, <=)
#define CHECK_LT(a, b) CHECK_OP_(a, b, <)
#define CHECK_GE(a, b) CHECK_OP_(a, b, >=)
#define CHECK_GT(a, b) CHECK_OP_(a, b, >)

namespace quatrain {

// Collects the message; its destructor prints it and aborts the process.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  ~CheckFailure();  // aborts
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

}  // namespace quatrain
