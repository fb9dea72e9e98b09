#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quatrain {

// The instruction sets that the CPU backend has code for. kAmxEmulated is
// kAmx's code with matrix tiles in memory: slow, and the same bits on machines
// without them.
enum class Isa : uint8_t {
  kAvx2,
  kAvx512,
  kAvx512Vnni,
  kAmx,
  kAmxEmulated,
  kNeon
};

// "avx2", "avx512", "avx512vnni", "amx", "amx_emulated", "neon".
inline const char* Name(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
    case Isa::kAmx:
      return "amx";
    case Isa::kAmxEmulated:
      return "amx_emulated";
    case Isa::kNeon:
      return "neon";
  }
  return "?";
}

// The names that this build and this machine can run, the best last. Empty on a
// machine without fused multiply-add, where only the reference backend runs.
// AMX is among them if a small product came out right (amx.h).
std::vector<std::string> AvailableIsas();

// `name`: "auto" or "" for the best, or one of AvailableIsas(). InvalidArgument
// listing those for another name; FailedPrecondition if there is none.
absl::StatusOr<Isa> ChooseIsa(const std::string& name);

}  // namespace quatrain
