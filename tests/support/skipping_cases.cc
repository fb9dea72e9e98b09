// Cases that pass, skip, fail and crash, for skipped_tests_test.cmake, which
// chooses among them with --gtest_filter.

#include <cstdlib>

#include "gtest/gtest.h"

TEST(Cases, Pass) {}
TEST(Cases, Skip) { GTEST_SKIP() << "on purpose"; }
TEST(Cases, Fail) { FAIL() << "on purpose"; }
TEST(Cases, Exit) { std::exit(3); }
