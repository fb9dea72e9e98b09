#include "kernels/cpu/isa.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hwy/targets.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/hwy_targets.h"

namespace quatrain {
namespace {

struct Candidate {
  Isa isa;
  int64_t target;  // Highway's bit
};

// The best last.
constexpr Candidate kCandidates[] = {
    {Isa::kAmxEmulated, HWY_AVX3}, {Isa::kNeon, HWY_NEON},
    {Isa::kAvx2, HWY_AVX2},        {Isa::kAvx512, HWY_AVX3},
    {Isa::kAvx512Vnni, HWY_AVX3},  {Isa::kAmx, HWY_AVX3},
};

// Highway 1.0.3 does not know AVX-512 VNNI by itself.
bool HasVnni() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool Usable(const Candidate& candidate) {
  const int64_t targets =
      static_cast<int64_t>(hwy::SupportedTargets()) & HWY_TARGETS;
  if ((targets & candidate.target) == 0) return false;
  switch (candidate.isa) {
    case Isa::kAvx512Vnni:
    case Isa::kAmxEmulated:
      return HasVnni();
    case Isa::kAmx:
      return HasVnni() && Amx().works;
    default:
      return true;
  }
}

}  // namespace

std::vector<std::string> AvailableIsas() {
  std::vector<std::string> names;
  for (const Candidate& candidate : kCandidates)
    if (Usable(candidate)) names.push_back(Name(candidate.isa));
  return names;
}

absl::StatusOr<Isa> ChooseIsa(const std::string& name) {
  const std::vector<std::string> available = AvailableIsas();
  if (available.empty()) {
    return absl::FailedPreconditionError(
        "the cpu backend needs AVX2 or NEON, and this machine has neither: use "
        "--backend reference");
  }
  const bool best = name.empty() || name == "auto";
  const std::string wanted = best ? available.back() : name;
  for (const std::string& candidate : available) {
    if (candidate != wanted) continue;
    for (const Candidate& entry : kCandidates)
      if (wanted == Name(entry.isa)) return entry.isa;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--isa: \"", name, "\", this machine has auto, ",
                   absl::StrJoin(available, ", ")));
}

}  // namespace quatrain
