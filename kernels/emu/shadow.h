#pragma once

#include <cstddef>
#include <cstdint>

// State of shared memory, byte by byte; only in the check build.
namespace simt::emu {

enum class ByteState : uint8_t {
  kClosed,     // outside of every object
  kUnwritten,  // its history means nothing yet
  kWritten,
  kInFlight,  // a cp.async will write it
};

// A thread's access: clock and thread in one word, and where in the code.
struct AccessMark {
  uint32_t epoch = 0;  // 0: none
  uint32_t origin = 0;

  static constexpr int kThreadBits = 10;
  int thread() const { return epoch & ((1 << kThreadBits) - 1); }
  uint32_t clock() const { return epoch >> kThreadBits; }
};

struct ByteHistory {
  AccessMark writer;
  AccessMark readers[2];  // two threads
  bool atomic_write;
  bool async_write;  // by a bulk copy: no fence is needed
  bool atomic_reads[2];
};

class SharedShadow {
 public:
  // Of `bytes` bytes, all closed. Does nothing unless checking.
  explicit SharedShadow(size_t bytes);
  ~SharedShadow();
  SharedShadow(const SharedShadow&) = delete;
  SharedShadow& operator=(const SharedShadow&) = delete;

  void Set(size_t begin, size_t end, ByteState state);
  ByteState& state(size_t at) { return states_[at]; }
  ByteHistory& history(size_t at) { return histories_[at]; }

 private:
  const size_t bytes_;
  ByteState* states_ = nullptr;
  ByteHistory* histories_ = nullptr;
};

// Zeroes that take memory only where they are touched.
void* MapZeroes(size_t bytes);
void UnmapZeroes(void* memory, size_t bytes);

}  // namespace simt::emu
