#pragma once

#include <cstddef>
#include <vector>

namespace simt::emu {

// The stacks of one resident block's threads, mapped when first asked for and
// kept for the process. Each has a guard page where `guarded`: with all 132
// blocks that would be more mappings than a process may have.
class Stacks {
 public:
  explicit Stacks(bool guarded) : guarded_(guarded) {}
  // kStackBytes of zeroes or of an earlier thread's rest.
  std::byte* Get(int thread);

 private:
  void Map(int threads);

  const bool guarded_;
  std::vector<std::byte*> stacks_;
};

}  // namespace simt::emu
