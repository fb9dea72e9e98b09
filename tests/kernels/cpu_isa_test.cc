#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "gtest/gtest.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/cpu_cases.h"

namespace quatrain {
namespace {

TEST(IsaTest, AMachineForTheseTestsHasOne) {
  ASSERT_FALSE(AvailableIsas().empty());
  std::string names;
  for (const std::string& name : AvailableIsas()) names += name + " ";
  RecordProperty("isas", names);
  std::printf("instruction sets: %s\n", names.c_str());
}

TEST(IsaTest, ChoosesByName) {
  for (const std::string& name : AvailableIsas()) {
    ASSERT_TRUE(ChooseIsa(name).ok());
    EXPECT_EQ(Name(*ChooseIsa(name)), name);
    EXPECT_NE(MakeCpu({name, 2})->Description().find(name + ", 2 threads"),
              std::string::npos);
  }
  EXPECT_EQ(Name(*ChooseIsa("auto")), AvailableIsas().back());
  EXPECT_EQ(*ChooseIsa(""), *ChooseIsa("auto"));
}

// Where there are no tiles, the product ends in SIGILL, which is caught.
TEST(IsaTest, MatrixTilesAreTriedBeforeTheyAreUsed) {
  const std::vector<std::string> names = AvailableIsas();
  const bool emulated =
      std::find(names.begin(), names.end(), "amx_emulated") != names.end();
  if (!emulated) GTEST_SKIP() << "needs AVX-512 VNNI";
  const auto want = SmallTileProduct(Isa::kAmxEmulated);
  ASSERT_TRUE(want.has_value());
  EXPECT_NE(*want, std::vector<int64_t>(want->size()));
  const bool listed = names.back() == "amx";
  EXPECT_EQ(listed, Amx().works);
  std::printf("AMX %s %s\n", listed ? "works" : "does not work",
              Amx().failure.c_str());
  const auto got = SmallTileProduct(Isa::kAmx);
  EXPECT_EQ(got.has_value() && got == want, listed);
  if (!listed && Amx().failure.empty()) {
    EXPECT_FALSE(got.has_value());
  }
  struct sigaction now = {};
  sigaction(SIGILL, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

TEST(IsaTest, RefusesWhatIsNotThere) {
  const absl::Status status = ChooseIsa("sse2").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string message(status.message());
  EXPECT_EQ(message.find("--isa: \"sse2\", this machine has auto, "), 0u)
      << message;
  EXPECT_EQ(MakeCpuBackend({.isa = "sse2"}).status(), status);
}

TEST(IsaTest, OnlyTheReferenceHasPlainFloatProducts) {
  EXPECT_EQ(
      MakeCpuBackend({.activations = Activations::kF32}).status().message(),
      "--activations f32: only --backend reference has plain float products");
}

TEST(ThreadPoolTest, RunsEveryThreadOnceAndWaits) {
  for (const bool spin : {false, true}) {
    for (const int threads : {1, 2, 5}) {
      ThreadPool pool(threads, spin);
      std::vector<int> calls(threads);
      for (int round = 0; round < 200; ++round)
        pool.Run([&](int thread) { ++calls[thread]; });
      EXPECT_EQ(calls, std::vector<int>(threads, 200));
    }
  }
}

TEST(ThreadPoolTest, SharesCoverEverythingOnce) {
  ThreadPool pool(3, false);
  for (const int64_t count : {0, 1, 2, 3, 7, 100}) {
    std::vector<std::atomic<int>> seen(count);
    pool.ParallelFor(count, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) ++seen[i];
    });
    for (const auto& times : seen) EXPECT_EQ(times, 1);
  }
}

// Several ranks on the cores of one: nobody starves.
TEST(ThreadPoolTest, ManyPoolsShareTheCores) {
  std::vector<std::thread> ranks;
  std::atomic<int> done{0};
  for (int r = 0; r < 8; ++r)
    ranks.emplace_back([&] {
      ThreadPool pool(4, false);
      for (int round = 0; round < 300; ++round) pool.Run([&](int) { ++done; });
    });
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(done, 8 * 300 * 4);
}

}  // namespace
}  // namespace quatrain
