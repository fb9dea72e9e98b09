#include "kernels/cpu/amx.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

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

// The sums of one small panel, two digits, a block of 128 and one of 40.
void SmallProduct(Isa isa, std::vector<int64_t>& sums) {
  constexpr int kRows = 16, kTiles = 2;
  const int ends[] = {128, 168};
  const BlockList list(ends);
  const int64_t tile_bytes = list.TileBytes(DType::kF32);
  std::vector<std::byte> record = Pattern(kTiles * tile_bytes, 1);
  for (int t = 0; t < kTiles; ++t)
    for (int i = 0; i < kHeaderLanes; ++i) {
      std::byte* header = record.data() + t * tile_bytes;
      const float s = 0x1p-10f * static_cast<float>(i + 1);
      header[i] &= std::byte{15};
      std::memcpy(header + kHeaderLanes + 4 * i, &s, sizeof(s));
    }
  std::vector<std::byte> digits = Pattern(PanelDigitBytes(list, kRows, 2), 2);
  std::vector<float> scales(kRows * list.num_blocks(), 0x1p-8f);
  const PanelRows x{digits.data(), scales.data(), kRows};
  const int64_t bytes = PanelWorkspace(nullptr, kRows).bytes;
  std::vector<std::byte> memory(bytes + kTileLine);
  const size_t misaligned =
      reinterpret_cast<uintptr_t>(memory.data()) % kTileLine;
  const int64_t* result = PanelKernelsFor(isa)->multiply[1][0](
      {.tiles = record.data(),
       .tile_bytes = tile_bytes,
       .num_tiles = kTiles,
       .scale_dtype = DType::kF32,
       .list = list,
       .x = x,
       .workspace = memory.data() + (kTileLine - misaligned)});
  sums.assign(result, result + kRows * kTiles * kTileRows);
}

thread_local sigjmp_buf* on_illegal_instruction = nullptr;

void OnIllegalInstruction(int) {
  if (on_illegal_instruction != nullptr) siglongjmp(*on_illegal_instruction, 1);
  signal(SIGILL, SIG_DFL);  // another thread's: it fails again, and ends us
}

// False if a tile instruction is refused.
bool TrySmallProduct(std::vector<int64_t>& sums) {
  struct sigaction guard = {}, before = {};
  guard.sa_handler = OnIllegalInstruction;
  sigaction(SIGILL, &guard, &before);
  sigjmp_buf back;
  bool done = false;
  if (sigsetjmp(back, 1) == 0) {
    on_illegal_instruction = &back;
    SmallProduct(Isa::kAmx, sums);
    done = true;
  }
  on_illegal_instruction = nullptr;
  sigaction(SIGILL, &before, nullptr);
  return done;
}

AmxState Find() {
  if (!ProcessorSaysSo()) return {};
  if (syscall(SYS_arch_prctl, kArchRequestPermission, kTileData) != 0)
    return {.failure = "the system gives no permission to use its tiles"};
  std::vector<int64_t> want, got;
  SmallProduct(Isa::kAmxEmulated, want);
  if (!TrySmallProduct(got))
    return {.failure = "a tile instruction was refused"};
  if (got != want) return {.failure = "a small product came out wrong"};
  return {.works = true};
}

}  // namespace

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
}  // namespace quatrain

#endif
