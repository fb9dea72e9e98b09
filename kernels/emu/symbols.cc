#include "kernels/emu/symbols.h"

#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <sstream>
#include <vector>

namespace simt::emu {
namespace {

// function, file:line, function, file:line, ... from the innermost outwards.
std::vector<std::string> AddressToLines(const void* address) {
  char command[128];
  std::snprintf(command, sizeof(command),
                "addr2line -C -i -f -e /proc/%d/exe 0x%zx 2>/dev/null",
                static_cast<int>(getpid()),
                reinterpret_cast<uintptr_t>(address) - LoadBase());
  std::vector<std::string> lines;
  FILE* pipe = popen(command, "r");
  if (pipe == nullptr) return lines;
  char line[4096];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    lines.emplace_back(line);
  }
  pclose(pipe);
  return lines;
}

// A translation takes milliseconds, so none is done twice.
const std::vector<std::string>& Lines(const void* address) {
  static auto& known = *new std::map<const void*, std::vector<std::string>>;
  auto [it, is_new] = known.try_emplace(address);
  if (is_new) it->second = AddressToLines(address);
  return it->second;
}

// Without "(anonymous namespace)::", the return type of a template instance
// and the parameters.
std::string Shorten(std::string name) {
  static constexpr char kAnonymous[] = "(anonymous namespace)::";
  for (size_t at; (at = name.find(kAnonymous)) != std::string::npos;)
    name.erase(at, sizeof(kAnonymous) - 1);
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) {
      name.resize(i);
      break;
    }
  }
  return name.starts_with("void ") ? name.substr(5) : name;
}

bool IsKernelSource(const std::string& line) {
  return line.find(".cu:") != std::string::npos ||
         line.find(".cuh:") != std::string::npos;
}

std::string WithoutRoot(const std::string& line) {
#ifdef SIMT_SOURCE_ROOT
  static constexpr char kRoot[] = SIMT_SOURCE_ROOT;
  if (line.starts_with(kRoot)) return line.substr(sizeof(kRoot) - 1);
#endif
  return line;
}

uintptr_t FindLoadBase() {
  uintptr_t base = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uintptr_t*>(out) = info->dlpi_addr;
        return 1;  // the first object is the executable
      },
      &base);
  return base;
}

}  // namespace

uintptr_t LoadBase() {
  static const uintptr_t base = FindLoadBase();
  return base;
}

std::string FunctionName(const void* function) {
  const auto& lines = Lines(function);
  return lines.empty() || lines[0] == "??" ? "a kernel" : Shorten(lines[0]);
}

std::string LineOf(const void* address) {
  // The address is where the hook returns to: the call lies before it.
  const auto& lines = Lines(static_cast<const char*>(address) - 1);
  std::string found = "an unknown line";
  for (size_t i = 1; i < lines.size(); i += 2)
    if (IsKernelSource(lines[i]) || i == 1) found = lines[i];
  return WithoutRoot(found.substr(0, found.find(" (discriminator")));
}

}  // namespace simt::emu
