#pragma once

#include <cstdint>
#include <string>

namespace simt::emu {

// Where the executable was loaded; addr2line wants addresses as linked.
uintptr_t LoadBase();

// "RmsNormKernel<4>" for a function of this executable.
std::string FunctionName(const void* function);

// "file.cu:12" of the outermost line in a kernel source that the code at
// `address` was inlined into; the innermost is often inside a toolkit header.
std::string LineOf(const void* address);

}  // namespace simt::emu
