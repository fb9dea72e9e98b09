#include "worker/shared_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "worker/shared_counter.h"

namespace quatrain {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::unique_ptr<SharedMemory> Make(size_t bytes) {
  auto made = SharedMemory::Create(bytes);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

TEST(SharedMemoryTest, IsZeroAndSeenByWhoOpensIt) {
  const auto mine = Make(100'000);
  auto theirs = SharedMemory::Open(mine->address());
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  ASSERT_EQ((*theirs)->bytes().size(), 100'000u);
  for (const std::byte b : (*theirs)->bytes()) ASSERT_EQ(b, std::byte{0});
  mine->bytes()[99'999] = std::byte{7};
  EXPECT_EQ((*theirs)->bytes()[99'999], std::byte{7});
  EXPECT_NE((*theirs)->bytes().data(), mine->bytes().data());
  EXPECT_FALSE((*theirs)->OwnerIsGone());
}

TEST(SharedMemoryTest, OtherFilesAreNotTakenForIt) {
  const auto mine = Make(4096);
  char name[] = "/tmp/quatrain-not-memory-XXXXXX";
  const int file = mkstemp(name);
  ASSERT_GE(file, 0);
  ASSERT_EQ(ftruncate(file, 4096), 0);
  const std::string text = mine->address();
  const std::string secret = text.substr(text.rfind(' ') + 1);
  for (const std::string& address :
       {std::string(), std::string("nonsense"), absl::StrCat("1 2 3"),
        absl::StrCat(getpid(), " ", file, " 4096 ", secret),
        absl::StrCat(getpid(), " 999 4096 ", secret), text + "0",
        absl::StrCat("1 ", text.substr(text.find(' ') + 1))}) {
    const absl::Status status = SharedMemory::Open(address).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << address << ": " << status;
  }
  close(file);
  unlink(name);
}

TEST(SharedMemoryTest, SizeMustBeWhatItsOwnerSays) {
  const auto mine = Make(4096);
  std::string address = mine->address();
  address.replace(address.find(" 4096 "), 6, " 8192 ");
  EXPECT_TRUE(absl::IsUnavailable(SharedMemory::Open(address).status()));
}

TEST(SharedMemoryTest, NobodyCanMakeItSmaller) {
  const auto mine = Make(4096);
  std::istringstream address(mine->address());
  int pid, fd;
  address >> pid >> fd;
  EXPECT_NE(ftruncate(fd, 0), 0);
  EXPECT_NE(ftruncate(fd, 8192), 0);
}

// A child process writes through memory that it opened, and its end is seen.
TEST(SharedMemoryTest, CrossesProcesses) {
  const auto mine = Make(4096);
  auto* counter = new (mine->bytes().data()) SharedCounter;
  ChildProcess child([&] {
    auto opened = SharedMemory::Open(mine->address());
    if (!opened.ok()) return 1;
    auto* same = reinterpret_cast<SharedCounter*>((*opened)->bytes().data());
    for (int i = 0; i < 1000; ++i) same->Advance();
    return 0;
  });
  EXPECT_TRUE(counter->Await(1000, false, [] { return true; }));
  EXPECT_EQ(child.Wait(), 0);
}

TEST(SharedMemoryTest, EndOfTheOwnerIsSeen) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ChildProcess child([&] {
    const auto made = Make(4096);
    const std::string line = made->address() + "\n";
    (void)!write(ends[1], line.data(), line.size());
    std::this_thread::sleep_for(std::chrono::seconds(60));
    return 0;
  });
  char text[200] = {};
  ASSERT_GT(read(ends[0], text, sizeof(text) - 1), 0);
  auto opened = SharedMemory::Open(std::string(text, strcspn(text, "\n")));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE((*opened)->OwnerIsGone());
  child.Signal(SIGKILL);
  const Clock::time_point start = Clock::now();
  while (!(*opened)->OwnerIsGone() &&
         Clock::now() - start < std::chrono::seconds(5)) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_TRUE((*opened)->OwnerIsGone());
  (*opened)->bytes()[0] = std::byte{1};  // still there
  close(ends[0]);
  close(ends[1]);
}

TEST(SharedCounterTest, WaitsAcrossTheWrap) {
  SharedCounter counter;
  EXPECT_TRUE(counter.Reached(0));
  EXPECT_TRUE(counter.Reached(static_cast<uint32_t>(-1)));
  EXPECT_FALSE(counter.Reached(1));
}

TEST(SharedCounterTest, ManyWaitersSeeEveryStep) {
  SharedCounter ping, pong[3];
  std::vector<std::jthread> waiters;
  for (int w = 0; w < 3; ++w) {
    waiters.emplace_back([&, w] {
      for (uint32_t step = 1; step <= 3000; ++step) {
        ASSERT_TRUE(ping.Await(step, w == 0, [] { return true; }));
        pong[w].Advance();
      }
    });
  }
  for (uint32_t step = 1; step <= 3000; ++step) {
    ping.Advance();
    for (SharedCounter& p : pong)
      ASSERT_TRUE(p.Await(step, true, [] { return true; }));
  }
}

TEST(SharedCounterTest, WhoIsWokenMayGiveUp) {
  SharedCounter counter;
  std::atomic<bool> over = false;
  std::jthread waker([&] {
    std::this_thread::sleep_for(milliseconds(20));
    over = true;
    counter.Wake();
  });
  EXPECT_FALSE(counter.Await(1, false, [&] { return !over; }));
}

}  // namespace
}  // namespace quatrain
