#pragma once

namespace quatrain {

// Tells the core that it only waits, between two looks at a variable.
inline void PauseCore() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace quatrain
