#include "kernels/emu/stream.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <set>
#include <vector>

#include "kernels/emu/buffers.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/queue.h"

namespace simt {

struct GraphWork {
  std::vector<emu::QueuedWork> work;
};

struct StreamQueue {
  std::deque<emu::QueuedWork> work;
  uint64_t appended = 0;
  uint64_t done = 0;
  std::shared_ptr<GraphWork> capture;  // null: not capturing
};

// Records are numbered, so that a wait means the record before it. Shared with
// the work that is queued: an event may be destroyed before it has happened.
struct EventMark {
  struct Numbers {
    uint64_t recorded = 0;
    uint64_t done = 0;
  };
  std::shared_ptr<Numbers> numbers = std::make_shared<Numbers>();
  Stream stream = nullptr;  // of the latest record
};

namespace emu {
namespace {

StreamQueue& Resolve(Stream stream) {
  static StreamQueue& null_stream = *new StreamQueue;
  return stream == nullptr ? null_stream : *stream;
}

std::vector<StreamQueue*>& Streams() {
  static auto& all = *new std::vector<StreamQueue*>{&Resolve(nullptr)};
  return all;
}

bool MayRun(const StreamQueue& queue) {
  if (queue.work.empty()) return false;
  const auto& may_run = queue.work.front().may_run;
  return !may_run || may_run();
}

// After an error what is queued is thrown away; events count all the same.
void RunFront(StreamQueue& queue) {
  const QueuedWork work = std::move(queue.work.front());
  queue.work.pop_front();
  work.run();
  ++queue.done;
}

// Somebody other than `wanted`, if there is one whose turn may come.
StreamQueue* Other(const StreamQueue& wanted) {
  std::vector<StreamQueue*> ready;
  for (StreamQueue* queue : Streams())
    if (queue != &wanted && MayRun(*queue)) ready.push_back(queue);
  if (ready.empty()) return nullptr;
  Machine& machine = TheMachine();
  if (machine.schedule.order != Order::kRandom) return ready.front();
  return ready[machine.random.Below(static_cast<uint32_t>(ready.size()))];
}

StreamQueue* PickStream(StreamQueue& wanted) {
  Machine& machine = TheMachine();
  const bool others_first =
      machine.schedule.order == Order::kReverse ||
      (machine.schedule.order == Order::kRandom && machine.random.OneIn(2));
  const bool may_run = MayRun(wanted);
  if (may_run && !others_first) return &wanted;
  StreamQueue* other = Other(wanted);
  return other != nullptr || !may_run ? other : &wanted;
}

template <typename Condition>
void RunWhile(StreamQueue& wanted, Condition condition) {
  while (condition()) {
    StreamQueue* queue = PickStream(wanted);
    if (queue == nullptr)
      return RecordError(Fault::kDeadlock,
                         "streams wait for each other's events");
    RunFront(*queue);
  }
}

void RunAll(StreamQueue& wanted) {
  RunWhile(wanted, [&, end = wanted.appended] { return wanted.done < end; });
}

bool HostRangeInUse(const void* begin, size_t bytes) {
  const auto* p = static_cast<const std::byte*>(begin);
  for (const StreamQueue* queue : Streams())
    for (const QueuedWork& work : queue->work) {
      const auto* q = static_cast<const std::byte*>(work.host_begin);
      if (q != nullptr && p < q + work.host_bytes && q < p + bytes) return true;
    }
  return false;
}

// A side of a copy must lie in one device buffer or outside of all.
bool CheckSide(const void* address, size_t bytes) {
  const Allocation* a = FindAllocation(address);
  if (a == nullptr || a->Contains(address, bytes)) return true;
  RecordError(Fault::kDeviceBounds,
              "a copy or fill of %zu bytes at offset %td of a device buffer of "
              "%zu bytes",
              bytes, static_cast<const std::byte*>(address) - a->begin,
              a->bytes);
  return false;
}

void Copy(void* to, const void* from, size_t bytes) {
  if (HasFailed() || !CheckSide(to, bytes) || !CheckSide(from, bytes)) return;
  std::memmove(to, from, bytes);
}

}  // namespace

void Append(Stream stream, QueuedWork work) {
  StreamQueue& queue = Resolve(stream);
  if (queue.capture) {
    queue.capture->work.push_back(std::move(work));
    return;
  }
  queue.work.push_back(std::move(work));
  ++queue.appended;
}

}  // namespace emu

using emu::Resolve;
using emu::TheMachine;

Stream create_stream() {
  const std::lock_guard lock(TheMachine().mutex);
  emu::Streams().push_back(new StreamQueue);
  return emu::Streams().back();
}

void destroy_stream(Stream stream) {
  if (stream == nullptr) return;
  const std::lock_guard lock(TheMachine().mutex);
  stream_synchronize(stream);
  std::erase(emu::Streams(), stream);
  delete stream;
}

void memcpy_async(void* to, const void* from, size_t bytes, Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  if (bytes == 0) return;
  const bool to_host = emu::FindAllocation(to) == nullptr;
  const bool from_host = emu::FindAllocation(from) == nullptr;
  if (to_host && !Resolve(stream).capture && !emu::HostRangeInUse(to, bytes))
    std::memset(to, 0xFF, bytes);
  emu::Append(stream, {.run = [=] { emu::Copy(to, from, bytes); },
                       .host_begin = to_host     ? to
                                     : from_host ? from
                                                 : nullptr,
                       .host_bytes = to_host || from_host ? bytes : 0});
}

void memset_async(void* to, int value, size_t bytes, Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  emu::Append(stream, {.run = [=] {
                if (!emu::HasFailed() && emu::CheckSide(to, bytes))
                  std::memset(to, value, bytes);
              }});
}

void host_function_async(std::function<void()> work, Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  emu::Append(stream, {.run = std::move(work)});
}

Fault memcpy_blocking(void* to, const void* from, size_t bytes) {
  memcpy_async(to, from, bytes, nullptr);
  return stream_synchronize(nullptr);
}

Event create_event() { return new EventMark; }

void destroy_event(Event event) { delete event; }

void event_record(Event event, Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  const uint64_t number = ++event->numbers->recorded;
  event->stream = stream;
  emu::Append(stream, {.run = [numbers = event->numbers, number] {
                numbers->done = std::max(numbers->done, number);
              }});
}

void stream_wait_event(Stream stream, Event event) {
  const std::lock_guard lock(TheMachine().mutex);
  const uint64_t number = event->numbers->recorded;
  emu::Append(stream,
              {.run = [] {},
               .may_run = [numbers = event->numbers,
                           number] { return numbers->done >= number; }});
}

bool event_done(Event event) {
  const std::lock_guard lock(TheMachine().mutex);
  return event->numbers->done == event->numbers->recorded;
}

Fault event_synchronize(Event event) {
  const std::lock_guard lock(TheMachine().mutex);
  const auto& numbers = *event->numbers;
  emu::RunWhile(Resolve(event->stream),
                [&] { return numbers.done < numbers.recorded; });
  return last_error().fault;
}

Fault stream_synchronize(Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  emu::RunAll(Resolve(stream));
  return last_error().fault;
}

Fault device_synchronize() {
  const std::lock_guard lock(TheMachine().mutex);
  for (StreamQueue* queue : emu::Streams()) emu::RunAll(*queue);
  return last_error().fault;
}

void begin_capture(Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  Resolve(stream).capture = std::make_shared<GraphWork>();
}

Graph end_capture(Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  return std::exchange(Resolve(stream).capture, nullptr);
}

void launch_graph(const Graph& graph, Stream stream) {
  const std::lock_guard lock(TheMachine().mutex);
  for (const emu::QueuedWork& work : graph->work) emu::Append(stream, work);
}

}  // namespace simt
