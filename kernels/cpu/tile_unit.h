#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace quatrain {

// Matrix tiles of 16 rows of 64 bytes, as AMX has them, eight of them numbered
// 0 to 7. Two policies for the same kernel: the processor's, and one in memory
// that any machine can run, so that the kernel is tested everywhere.

inline constexpr int kTileBytes = 1024;  // of one matrix tile
inline constexpr int kTileLine = 64;     // bytes of a row

#if defined(__x86_64__)

// The processor's. Written as assembly: the compilers' intrinsics take only
// literal numbers, and GCC 12's for the configuration declares 8 of its 64
// bytes, so that the others are optimised away.
struct HardwareTiles {
  // Before and after the others, on the same thread. A thread that sleeps shall
  // not carry 8 KB of tiles along.
  static void Begin() {
    struct alignas(64) Config {
      uint8_t palette, start_row, reserved[14];
      uint16_t row_bytes[16];
      uint8_t rows[16];
    } config = {};
    static_assert(sizeof(Config) == 64);
    config.palette = 1;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = kTileLine;
      config.rows[i] = 16;
    }
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  static void End() { asm volatile("tilerelease"); }
  template <int kTile>
  static void Zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  static void Load(const void* from) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from),
                 "r"(int64_t{kTileLine}), "i"(kTile)
                 : "memory");
  }
  template <int kTile>
  static void Store(void* to) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to),
                 "r"(int64_t{kTileLine}), "i"(kTile)
                 : "memory");
  }
  // s32 [16][16] kC += s8 [16][64] kA * s8 kB, whose row i holds k 4 i to
  // 4 i + 3 of 16 columns.
  template <int kC, int kA, int kB>
  static void Multiply() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA),
                 "i"(kB));
  }
};

#endif  // __x86_64__

// The same in memory, as naive loops.
struct EmulatedTiles {
  static void Begin() {}
  static void End() {}
  template <int kTile>
  static void Zero() {
    std::memset(Bytes(kTile), 0, kTileBytes);
  }
  template <int kTile>
  static void Load(const void* from) {
    std::memcpy(Bytes(kTile), from, kTileBytes);
  }
  template <int kTile>
  static void Store(void* to) {
    std::memcpy(to, Bytes(kTile), kTileBytes);
  }
  template <int kC, int kA, int kB>
  static void Multiply() {
    auto* c = reinterpret_cast<int32_t*>(Bytes(kC));
    const auto* a = reinterpret_cast<const int8_t*>(Bytes(kA));
    const auto* b = reinterpret_cast<const int8_t*>(Bytes(kB));
    for (int m = 0; m < 16; ++m)
      for (int k = 0; k < kTileLine; ++k)
        for (int n = 0; n < 16; ++n)
          c[m * 16 + n] +=
              a[m * kTileLine + k] * b[k / 4 * kTileLine + n * 4 + k % 4];
  }

 private:
  static std::byte* Bytes(int tile) {
    alignas(64) thread_local std::byte tiles[8][kTileBytes];
    return tiles[tile];
  }
};

}  // namespace quatrain
