#include "kernels/cpu/amx.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <vector>

#include "base/mutex.h"
#include "kernels/cpu/int4_panel.h"

namespace quatrain {
namespace {

constexpr int kArchRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr int kTileData = 18;                   // the state component

bool ProcessorSaysSo() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kTiles = 1u << 24, kInt8 = 1u << 25;
  return (d & kTiles) != 0 && (d & kInt8) != 0;
}

// Numbers of which a wrong order or sign shows.
std::vector<std::byte> Pattern(size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes)
    byte = std::byte((seed = seed * 1664525u + 1013904223u) >> 24);
  return bytes;
}

// One small panel: two digits, a block of 128 and one of 40. Holds all memory
// that the product needs, so that nothing is lost where it is broken off.
class SmallPanel {
 public:
  SmallPanel() {
    for (int t = 0; t < kTiles; ++t)
      for (int i = 0; i < kHeaderLanes; ++i) {
        std::byte* header = record_.data() + t * tile_bytes_;
        const float s = 0x1p-10f * static_cast<float>(i + 1);
        header[i] &= std::byte{15};
        std::memcpy(header + kHeaderLanes + 4 * i, &s, sizeof(s));
      }
  }

  const int64_t* Multiply(Isa isa) {
    const size_t past = reinterpret_cast<uintptr_t>(memory_.data()) % kTileLine;
    return PanelKernelsFor(isa)->multiply[1][0](
        {.tiles = record_.data(),
         .tile_bytes = tile_bytes_,
         .num_tiles = kTiles,
         .scale_dtype = DType::kF32,
         .list = list_,
         .x = x_,
         .workspace = memory_.data() + (kTileLine - past)});
  }
  static constexpr int kSums = 2 * 16 * kTileRows;

 private:
  static constexpr int kRows = 16, kTiles = 2;
  static constexpr int kEnds[] = {128, 168};
  const BlockList list_{kEnds};
  const int64_t tile_bytes_ = list_.TileBytes(DType::kF32);
  std::vector<std::byte> record_ = Pattern(kTiles * tile_bytes_, 1);
  std::vector<std::byte> digits_ = Pattern(PanelDigitBytes(list_, kRows, 2), 2);
  std::vector<float> scales_ = std::vector<float>(2 * kRows, 0x1p-8f);
  const PanelRows x_{digits_.data(), scales_.data(), kRows};
  std::vector<std::byte> memory_ =
      std::vector<std::byte>(PanelWorkspace(nullptr, kRows).bytes + kTileLine);
};

thread_local sigjmp_buf* on_illegal_instruction = nullptr;

void OnIllegalInstruction(int) {
  if (on_illegal_instruction != nullptr) siglongjmp(*on_illegal_instruction, 1);
  signal(SIGILL, SIG_DFL);  // another thread's: it fails again, and ends us
}

AmxState Find() {
  if (!ProcessorSaysSo()) return {};
  if (syscall(SYS_arch_prctl, kArchRequestPermission, kTileData) != 0)
    return {.failure = "the system gives no permission to use its tiles"};
  const auto got = SmallTileProduct(Isa::kAmx);
  if (!got) return {.failure = "a tile instruction was refused"};
  if (got != SmallTileProduct(Isa::kAmxEmulated))
    return {.failure = "a small product came out wrong"};
  return {.works = true};
}

}  // namespace

std::optional<std::vector<int64_t>> SmallTileProduct(Isa isa) {
  static Mutex mutex;  // the disposition of a signal is the process's
  MutexLock lock(&mutex);
  struct sigaction guard = {}, before = {};
  guard.sa_handler = OnIllegalInstruction;
  sigaction(SIGILL, &guard, &before);
  SmallPanel panel;
  const int64_t* volatile sums = nullptr;
  sigjmp_buf back;
  if (sigsetjmp(back, 1) == 0) {
    on_illegal_instruction = &back;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    sums = panel.Multiply(isa);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  on_illegal_instruction = nullptr;
  sigaction(SIGILL, &before, nullptr);
  if (sums == nullptr) return std::nullopt;
  return std::vector<int64_t>(sums, sums + SmallPanel::kSums);
}

const AmxState& Amx() {
  static const AmxState state = Find();
  return state;
}

}  // namespace quatrain

#else

namespace quatrain {
const AmxState& Amx() {
  static const AmxState state;
  return state;
}
std::optional<std::vector<int64_t>> SmallTileProduct(Isa) { return {}; }
}  // namespace quatrain

#endif
