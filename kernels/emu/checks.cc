#include "kernels/emu/checks.h"

#include "kernels/emu/engine.h"
#include "kernels/emu/machine.h"

namespace simt {

bool checks_accesses() { return emu::checking; }

namespace emu {

bool checking = false;
thread_local bool hooks_look = false;

void BeginLaunchChecks() {
  hooks_look = true;
  ForgetSyncWords();
}

void EndLaunchChecks() { hooks_look = false; }

}  // namespace emu
}  // namespace simt
