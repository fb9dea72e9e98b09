#pragma once

namespace simt::emu {

// How often shared memory must be asked for what `count` lanes want at once,
// `bytes` (4, 8 or 16, or less) each: 32 banks of 4 bytes, and the same word is
// given to all who want it.
int BankPasses(const void* const* addresses, int count, int bytes);

}  // namespace simt::emu
