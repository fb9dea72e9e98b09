#include <cstring>

#include "kernels/emu/access.h"
#include "kernels/emu/load.h"
#include "kernels/emu/traffic.h"

namespace simt::emu {

void LoadReadOnly(void* to, const void* from, int bytes, Place where) {
  TouchGlobal(from, bytes, Access::kReadOnly, where);
  LogGlobal(from, bytes, false, {where});
  std::memcpy(to, from, bytes);
}

}  // namespace simt::emu
