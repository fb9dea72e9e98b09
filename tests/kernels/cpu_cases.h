#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/reference.h"
#include "tests/support/random.h"

// Every CPU backend that this machine can run, to be compared with the
// reference bit for bit.
namespace quatrain {

struct CpuCase {
  std::string isa;
  int threads = 1;
  std::string name() const { return isa + " x " + std::to_string(threads); }
};

inline std::vector<CpuCase> CpuCases() {
  std::vector<CpuCase> cases;
  for (const std::string& isa : AvailableIsas())
    for (const int threads : {1, 2, 3}) cases.push_back({isa, threads});
  return cases;
}

inline BackendOptions TestOptions() {
  return {
      .num_slots = 8, .max_blocks = 256, .block_size = 16, .max_tokens = 512};
}

inline std::unique_ptr<Backend> MakeCpu(
    const CpuCase& c, BackendOptions options = TestOptions()) {
  options.isa = c.isa;
  options.threads = c.threads;
  auto backend = MakeCpuBackend(options);
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

inline std::unique_ptr<Backend> MakeReference(
    const BackendOptions& options = TestOptions()) {
  return *MakeReferenceBackend(options);
}

// Equal bits; a NaN equals a NaN where `any_nan`.
template <typename T>
::testing::AssertionResult SameBits(const std::vector<T>& got,
                                    const std::vector<T>& want,
                                    bool any_nan = false) {
  if (got.size() != want.size())
    return ::testing::AssertionFailure()
           << got.size() << " values, expected " << want.size();
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) == 0) continue;
    if (any_nan && got[i] != got[i] && want[i] != want[i]) continue;
    return ::testing::AssertionFailure()
           << "value " << i << " is " << got[i] << ", expected " << want[i];
  }
  return ::testing::AssertionSuccess();
}

}  // namespace quatrain
