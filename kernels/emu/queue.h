#pragma once

#include <cstddef>
#include <functional>

#include "kernels/emu/stream.h"

namespace simt::emu {

// One piece of a stream's work.
struct QueuedWork {
  std::function<void()> run;
  // Whether its turn may come; null: yes.
  std::function<bool()> may_run = nullptr;
  // What it touches of the host's memory, so that nobody poisons it early.
  const void* host_begin = nullptr;
  size_t host_bytes = 0;
};

void Append(Stream stream, QueuedWork work);

}  // namespace simt::emu
