#pragma once

#include <cstddef>
#include <cstdint>

// What the driver refuses, for sm_80 and sm_90.
namespace simt::emu {

inline constexpr unsigned kMaxThreads = 1024;
inline constexpr unsigned kMaxBlockZ = 64;
inline constexpr unsigned kMaxGridX = 0x7FFFFFFF;
inline constexpr unsigned kMaxGridYZ = 65535;
inline constexpr size_t kMaxStaticShared = 48 << 10;
inline constexpr size_t kDefaultDynamicShared = 48 << 10;
// 227 KiB, and what the red zones of a layout may add to it here.
inline constexpr size_t kMaxDynamicShared = (227 + 8) << 10;
inline constexpr size_t kMaxArgumentBytes = 4096;

}  // namespace simt::emu
