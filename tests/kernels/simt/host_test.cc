// Streams, events, graphs and what launches refuse.

#include <numeric>
#include <thread>
#include <vector>

#include "kernels/emu/engine.h"
#include "tests/kernels/simt/device_array.h"
#include "tests/kernels/simt/host_kernels.h"
#include "tests/kernels/simt/runner.h"

namespace {

using simt::Fault;

Fault TakeFault() { return simt::take_error().fault; }

SIMT_TEST(LaunchesRunLate) {
  const DeviceArray<int> x(std::vector<int>(64, 1));
  std::vector<int> got(64, 5);
  const simt::Stream stream = simt::create_stream();
  host::LaunchAdd(x.data(), 2, 1, 64, 0, stream);
  simt::memcpy_async(got.data(), x.data(), 256, stream);
  // The host reads too early: poison.
  EXPECT_EQ(got[0], -1);
  EXPECT(simt::stream_synchronize(stream) == Fault::kNone);
  EXPECT_EQ(got[0], 3);
  simt::destroy_stream(stream);
}

// A copy out of a buffer that an earlier copy still reads must not poison it.
SIMT_TEST(PoisonSparesPendingSources) {
  const DeviceArray<int> x(64);
  std::vector<int> staging(64, 7);
  simt::memcpy_async(x.data(), staging.data(), 256, nullptr);
  host::LaunchAdd(x.data(), 1, 1, 64, 0, nullptr);
  simt::memcpy_async(staging.data(), x.data(), 256, nullptr);
  simt::stream_synchronize(nullptr);
  EXPECT_EQ(staging[0], 8);
}

// The consumer's stream first, or last: without the event one of the two
// schedules shows poison.
int Produce(bool with_event) {
  const DeviceArray<int> x(64), y(64);
  const simt::Stream producer = simt::create_stream();
  const simt::Stream consumer = simt::create_stream();
  const simt::Event ready = simt::create_event();
  std::vector<int> one(64, 1);
  simt::memcpy_async(x.data(), one.data(), 256, producer);
  simt::event_record(ready, producer);
  if (with_event) simt::stream_wait_event(consumer, ready);
  host::LaunchAdd(x.data(), 1, 1, 64, 0, consumer);
  int got = 0;
  simt::memcpy_async(&got, x.data(), 4, consumer);
  simt::stream_synchronize(consumer);
  EXPECT(!with_event || simt::event_done(ready));
  simt::destroy_event(ready);
  simt::destroy_stream(producer);
  simt::destroy_stream(consumer);
  return got;
}

SIMT_TEST(EventsOrderStreams) { EXPECT_EQ(Produce(true), 2); }

SIMT_TEST(MissingEventShows) {
  if (simt::current_schedule().order != simt::Order::kForward) return;
  EXPECT_EQ(Produce(false), 0);
}

SIMT_TEST(StreamsThatWaitForEachOther) {
  const simt::Stream a = simt::create_stream();
  const simt::Event never = simt::create_event();
  simt::begin_capture(a);
  simt::event_record(never, a);
  simt::end_capture(a);
  simt::stream_wait_event(nullptr, never);
  EXPECT(simt::stream_synchronize(nullptr) == Fault::kDeadlock);
  simt::clear_error();
  // Lets the null stream go on for the tests that follow.
  simt::event_record(never, a);
  simt::stream_synchronize(a);
  simt::begin_capture(a);
  simt::event_record(never, a);
  const simt::Graph graph = simt::end_capture(a);
  simt::launch_graph(graph, a);
  simt::device_synchronize();
  simt::clear_error();
  simt::destroy_event(never);
  simt::destroy_stream(a);
}

SIMT_TEST(GraphsKeepTheirArguments) {
  const DeviceArray<int> x(std::vector<int>(64, 0));
  const simt::Stream stream = simt::create_stream();
  simt::begin_capture(stream);
  int amount = 3;
  host::LaunchAdd(x.data(), amount, 1, 64, 0, stream);
  simt::memset_async(x.data() + 32, 0, 128, stream);
  amount = 100;
  const simt::Graph graph = simt::end_capture(stream);
  EXPECT_EQ(x.Read()[0], 0);
  for (int i = 0; i < 4; ++i) simt::launch_graph(graph, stream);
  simt::stream_synchronize(stream);
  const auto got = x.Read();
  EXPECT_EQ(got[0], 12);
  EXPECT_EQ(got[40], 0);
  simt::destroy_stream(stream);
}

Fault LaunchFault(int blocks, int threads, size_t shared) {
  const DeviceArray<int> x(std::vector<int>(4096, 0));
  host::LaunchAdd(x.data(), 1, blocks, threads, shared, nullptr);
  simt::device_synchronize();
  return TakeFault();
}

SIMT_TEST(LaunchesAreChecked) {
  EXPECT(LaunchFault(1, 1024, 0) == Fault::kNone);
  EXPECT(LaunchFault(1, 1025, 0) == Fault::kBadLaunch);
  EXPECT(LaunchFault(0, 32, 0) == Fault::kBadLaunch);
  EXPECT(LaunchFault(1, 0, 0) == Fault::kBadLaunch);
  EXPECT(LaunchFault(1, 32, 48 << 10) == Fault::kNone);
  EXPECT(LaunchFault(1, 32, (48 << 10) + 1) == Fault::kBadLaunch);
  EXPECT(!host::AllowShared(300 << 10));
  EXPECT(host::AllowShared(227 << 10));
  EXPECT(LaunchFault(1, 32, 227 << 10) == Fault::kNone);
}

SIMT_TEST(WorkAfterAnErrorIsThrownAway) {
  const DeviceArray<int> x(std::vector<int>(64, 0));
  host::LaunchAdd(x.data(), 1, 1, 2000, 0, nullptr);
  host::LaunchAdd(x.data(), 1, 1, 64, 0, nullptr);
  EXPECT(simt::stream_synchronize(nullptr) == Fault::kBadLaunch);
  simt::clear_error();
  EXPECT_EQ(x.Read()[0], 0);
}

SIMT_TEST(CopiesAreChecked) {
  const DeviceArray<int> x(std::vector<int>(64, 0));
  int host[65] = {};
  EXPECT(simt::memcpy_blocking(host, x.data(), 65 * 4) == Fault::kDeviceBounds);
  simt::clear_error();
  simt::memset_async(x.data() + 1, 0, 256, nullptr);
  EXPECT(simt::device_synchronize() == Fault::kDeviceBounds);
  simt::clear_error();
  simt::device_free(host);
  EXPECT(TakeFault() == Fault::kBadCall);
}

// Blocks park when only spinners are left, also with few of them resident.
SIMT_TEST(BlocksWaitForEachOther) {
  const DeviceArray<unsigned> count(std::vector<unsigned>{0});
  host::LaunchMeet(count.data(), 8, nullptr);
  simt::device_synchronize();
  EXPECT(TakeFault() == Fault::kNone);
  EXPECT_EQ(count.Read()[0], 8u);
  simt::set_resident_blocks(4);
  host::LaunchMeet(count.data(), 8, nullptr);
  simt::device_synchronize();
  EXPECT(TakeFault() == Fault::kBlockDeadlock);
  simt::set_resident_blocks(132);
}

SIMT_TEST(ToleratedOnce) {
  const DeviceArray<int> x(std::vector<int>{0});
  for (const bool tolerated : {true, false}) {
    if (tolerated) simt::tolerate(Fault::kBlockCollision);
    host::LaunchCollide(x.data(), nullptr);
    simt::device_synchronize();
    EXPECT(TakeFault() == (tolerated || !simt::checks_accesses()
                               ? Fault::kNone
                               : Fault::kBlockCollision));
  }
}

// Ranks that are threads of one process share the device.
SIMT_TEST(ThreadsShareTheDevice) {
  const auto rank = [](int* sum) {
    const DeviceArray<int> x(std::vector<int>(256, 0));
    const simt::Stream stream = simt::create_stream();
    for (int i = 0; i < 50; ++i) {
      host::LaunchAdd(x.data(), 1, 2, 128, 0, stream);
      simt::stream_synchronize(stream);
    }
    simt::destroy_stream(stream);
    for (const int value : x.Read()) *sum += value;
  };
  int sums[3] = {};
  std::vector<std::thread> threads;
  for (int& sum : sums) threads.emplace_back(rank, &sum);
  for (std::thread& thread : threads) thread.join();
  for (const int sum : sums) EXPECT_EQ(sum, 256 * 50);
  EXPECT(TakeFault() == Fault::kNone);
}

// A failed launch leaves nothing behind that the next one meets.
SIMT_TEST(SoundAfterBroken) {
  const DeviceArray<int> x(std::vector<int>(1024, 0));
  for (int i = 0; i < 3; ++i) {
    host::LaunchDeadlock(1024, nullptr);
    simt::device_synchronize();
    EXPECT(TakeFault() == Fault::kDeadlock);
    host::LaunchAdd(x.data(), 1, 1, 1024, 0, nullptr);
    simt::device_synchronize();
    // Threads that never ran must not run in a smaller launch.
    const DeviceArray<int> y(std::vector<int>(1024, 0));
    host::LaunchFirstThreadFails(y.data(), 1024, nullptr);
    simt::device_synchronize();
    EXPECT(TakeFault() == Fault::kBarrierCount);
    host::LaunchAdd(y.data(), 10, 1, 32, 0, nullptr);
    EXPECT_EQ(y.Read()[31] / 10, 1);
    EXPECT(TakeFault() == Fault::kNone);
  }
  EXPECT_EQ(x.Read()[1023], 3);
  EXPECT(TakeFault() == Fault::kNone);
}

}  // namespace

SIMT_TEST_MAIN()
