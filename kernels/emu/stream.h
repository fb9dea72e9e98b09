#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "kernels/emu/report.h"

// Streams and events as on a device that is slow on purpose: work runs only
// when somebody waits for it, and streams that nobody orders run in whatever
// order hurts. forward: only what is waited for; reverse: everything else
// first; random: any mixture.
namespace simt {

struct StreamQueue;
struct EventMark;
struct GraphWork;
using Stream = StreamQueue*;  // null is a stream of its own, like any other
using Event = EventMark*;
using Graph = std::shared_ptr<const GraphWork>;

Stream create_stream();
void destroy_stream(Stream stream);  // waits for it

// Either side may be host memory, which must live until the copy has run. A
// host destination is filled with 0xFF meanwhile.
void memcpy_async(void* to, const void* from, size_t bytes, Stream stream);
void memset_async(void* to, int value, size_t bytes, Stream stream);
// Runs `work` in stream order, on the thread that waits.
void host_function_async(std::function<void()> work, Stream stream);
// Waits for the null stream, then copies.
Fault memcpy_blocking(void* to, const void* from, size_t bytes);

Event create_event();
void destroy_event(Event event);
void event_record(Event event, Stream stream);
// What is queued from now on waits for the latest record, if there was one.
void stream_wait_event(Stream stream, Event event);
bool event_done(Event event);  // runs nothing

// All run what they wait for and return what last_error() then holds.
Fault event_synchronize(Event event);
Fault stream_synchronize(Stream stream);
Fault device_synchronize();

// Between the two, work given to `stream` is kept instead of queued, with its
// arguments as they are. launch_graph() queues it, any number of times.
void begin_capture(Stream stream);
Graph end_capture(Stream stream);
void launch_graph(const Graph& graph, Stream stream);

}  // namespace simt
