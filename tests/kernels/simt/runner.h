#pragma once

// A test runner small enough for nvcc: SIMT_TEST(Name) { EXPECT(...); } and, in
// one file, SIMT_TEST_MAIN(). Arguments: --list, or part of a test's name.

#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace runner {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}

inline int& Failures() {
  static int failures = 0;
  return failures;
}

// A skipped test counts as passed, but says so.
inline std::string& Skipped() {
  static std::string reason;
  return reason;
}

struct Registration {
  Registration(const char* name, void (*body)()) {
    Tests().push_back({name, body});
  }
};

inline void Expect(bool ok, const std::string& what, const char* file,
                   int line) {
  if (ok) return;
  ++Failures();
  std::printf("%s:%d: %s\n", file, line, what.c_str());
}

template <typename T>
std::string Show(const T& value) {
  std::ostringstream out;
  out.precision(17);
  out << value;
  return out.str();
}

template <typename A, typename B>
void ExpectEq(const A& got, const B& want, const char* text, const char* file,
              int line) {
  Expect(got == want,
         std::string(text) + " is " + Show(got) + ", expected " + Show(want),
         file, line);
}

inline bool Run(const Test& test) {
  const int before = Failures();
  Skipped().clear();
  test.body();
  const bool ok = Failures() == before;
  std::printf("%s %s%s%s\n", ok ? "passed" : "FAILED", test.name,
              Skipped().empty() ? "" : ", SKIPPED: ", Skipped().c_str());
  std::fflush(stdout);
  return ok;
}

inline int Main(int argc, char** argv) {
  const char* filter = argc > 1 ? argv[1] : "";
  const bool list = std::strcmp(filter, "--list") == 0;
  int passed = 0, failed = 0;
  for (const Test& test : Tests()) {
    if (list)
      std::printf("%s\n", test.name);
    else if (std::strstr(test.name, filter) != nullptr)
      ++(Run(test) ? passed : failed);
  }
  if (!list) std::printf("%d passed, %d failed\n", passed, failed);
  // A filter that fits nothing must not look like success.
  return failed > 0 || (!list && passed == 0);
}

}  // namespace runner

#define SIMT_TEST(name)                                                     \
  static void Test##name();                                                 \
  static const runner::Registration registration##name(#name, &Test##name); \
  static void Test##name()

#define EXPECT(condition) \
  runner::Expect((condition), #condition " is false", __FILE__, __LINE__)
// With a text of one's own.
#define EXPECT_TEXT(condition, text) \
  runner::Expect((condition), (text), __FILE__, __LINE__)
#define EXPECT_EQ(got, want) \
  runner::ExpectEq((got), (want), #got, __FILE__, __LINE__)

#define SIMT_TEST_MAIN() \
  int main(int argc, char** argv) { return runner::Main(argc, argv); }
