#include <cstdint>
#include <map>

#include "kernels/emu/fail.h"
#include "kernels/emu/launch.h"
#include "kernels/emu/limits.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/queue.h"
#include "kernels/emu/symbols.h"

namespace simt::emu {
namespace {

std::map<const void*, size_t>& RaisedLimits() {
  static auto& limits = *new std::map<const void*, size_t>;
  return limits;
}

size_t DynamicLimit(const void* kernel) {
  const auto it = RaisedLimits().find(kernel);
  return it == RaisedLimits().end() ? kDefaultDynamicShared : it->second;
}

bool CheckSizes(const LaunchSpec& spec) {
  const dim3& b = spec.block;
  const dim3& g = spec.grid;
  const uint64_t threads = uint64_t{b.x} * b.y * b.z;
  const char* name = "";
  std::string held;
  const auto refuse = [&](const char* what, uint64_t found, uint64_t most) {
    held = FunctionName(spec.kernel);
    name = held.c_str();
    RecordError(Fault::kBadLaunch, "%s: %s: %llu, at most %llu", name, what,
                static_cast<unsigned long long>(found),
                static_cast<unsigned long long>(most));
    return false;
  };
  if (threads == 0 || b.z > kMaxBlockZ || threads > kMaxThreads)
    return refuse("threads of a block (at least 1)", threads, kMaxThreads);
  if (g.x == 0 || g.x > kMaxGridX)
    return refuse("grid x (at least 1)", g.x, kMaxGridX);
  if (g.y == 0 || g.z == 0 || g.y > kMaxGridYZ || g.z > kMaxGridYZ)
    return refuse("grid y and z (at least 1)", g.y > g.z ? g.y : g.z,
                  kMaxGridYZ);
  if (spec.dynamic_shared_bytes > DynamicLimit(spec.kernel))
    return refuse("bytes of dynamic shared memory (allow_dynamic_shared)",
                  spec.dynamic_shared_bytes, DynamicLimit(spec.kernel));
  if (spec.argument_bytes > kMaxArgumentBytes)
    return refuse("bytes of arguments", spec.argument_bytes, kMaxArgumentBytes);
  return true;
}

}  // namespace

bool AllowDynamicShared(const void* kernel, size_t bytes) {
  Machine& machine = TheMachine();
  const std::lock_guard lock(machine.mutex);
  if (bytes > kMaxDynamicShared) return false;
  size_t& limit =
      RaisedLimits().try_emplace(kernel, kDefaultDynamicShared).first->second;
  if (bytes > limit) limit = bytes;
  return true;
}

void Enqueue(LaunchSpec spec, Stream stream) {
  Machine& machine = TheMachine();
  const std::lock_guard lock(machine.mutex);
  if (!CheckSizes(spec)) return;
  Append(stream, {.run = [spec = std::move(spec)] {
           if (!HasFailed()) RunLaunch(spec);
         }});
}

}  // namespace simt::emu
