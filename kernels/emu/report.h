#pragma once

#include <string>

namespace simt {

// What a launch, or a call of the host side, did wrong.
enum class Fault {
  kNone,
  kBadLaunch,         // sizes that the driver would refuse
  kBadCall,           // a wrong argument to the host side or to an instruction
  kDivergence,        // lanes of one mask in different operations or lines
  kMaskWithoutSelf,   // a lane not in the mask it gave
  kExitedLane,        // a lane ended while others of its warp wait for it
  kBarrierCount,      // one barrier used with two counts, or a wrong one
  kDeadlock,          // nothing in the block can run
  kBlockDeadlock,     // all blocks spin and nothing moves
  kStackOverflow,     // a thread used more than its stack
  kMisaligned,        // an access or a copy not on its natural boundary
  kUndefined,         // UBSan's other findings
  kSharedBounds,      // shared memory outside of every object
  kSharedTooSmall,    // fewer dynamic bytes were asked for than are carved
  kDeviceBounds,      // outside of a device buffer, or a freed one
  kWildPointer,       // memory that is no business of a kernel's
  kUnwrittenRead,     // shared memory that nothing has written
  kRace,              // two threads of a block, unordered, one writing
  kCopyInFlight,      // bytes of a copy that nobody has waited for
  kCopyNotAwaited,    // a thread ended before its copies
  kBlockCollision,    // two blocks, unordered, one writing
  kReadOnlyWritten,   // read through the read-only path and written in a launch
  kMbarrier,          // use before init, too many arrivals
  kProxyFence,        // the async proxy reads what was written without a fence
  kAsyncAccumulator,  // wgmma registers touched before the wait
};

const char* FaultName(Fault fault);

// The first error of a launch. Text is complete: kernel, block, thread, warp,
// lane, file and line, schedule.
struct Report {
  Fault fault = Fault::kNone;
  std::string text;
  std::string kernel;
  int block = -1;   // linear
  int thread = -1;  // linear in its block
  std::string file;
  int line = 0;

  bool ok() const { return fault == Fault::kNone; }
};

// What is wrong since the last ClearError; work that is queued meanwhile is
// thrown away.
Report last_error();
void clear_error();
// Both at once.
Report take_error();

}  // namespace simt
