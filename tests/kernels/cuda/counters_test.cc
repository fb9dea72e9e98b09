// What the kernels cost where that can be counted: memory traffic in sectors of
// 32 bytes, bank conflicts, barriers, tensor-core instructions, per kernel and
// shape. Compared with the limits of each line, and with the committed table
// counters.txt.
//
//   counters_check                  compares
//   QUATRAIN_UPDATE=1 ...           writes the table anew
//
// Only on the emulated device, and only where it sees every access (the check
// build); elsewhere the test says that it skips.

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/kernels/cuda/counters_table.h"
#include "tests/kernels/simt/runner.h"

namespace quatrain {
namespace {

constexpr const char* kTable = "tests/kernels/cuda/counters.txt";

constexpr const char* kHeader =
    "# Written by counters_test.cc (QUATRAIN_UPDATE=1), checked by it in CI.\n"
    "# read, written: distinct sectors of 32 bytes, per launch; of floor: "
    "they\n"
    "# over the bytes that must move; reads: how often the largest operand is\n"
    "# read, from any cache; asked: sectors that all instructions ask for, "
    "over\n"
    "# the distinct ones; conflicts: passes of shared memory beyond the "
    "least.\n"
    "# kernel           shape                              read  written"
    "   floor   reads   asked conflict barriers      mma cp.async collectiv\n";

SIMT_TEST(CountersAreTheCommittedOnes) {
  if (!simt::checks_accesses()) {
    runner::Skipped() = "only the check build sees every access";
    return;
  }
  std::string text = kHeader;
  for (const auto count : {CountProducts, CountDense, CountPacking, CountRows,
                           CountAttention, CountSampling})
    for (const CounterLine& line : count()) {
      line.Check();
      text += line.Text() + "\n";
    }
  if (std::getenv("QUATRAIN_UPDATE") != nullptr) {
    std::ofstream(kTable) << text;
    return;
  }
  std::ifstream file(kTable);
  std::stringstream committed;
  committed << file.rdbuf();
  EXPECT_TEXT(committed.str() == text,
              std::string(kTable) + " is not what was counted:\n" + text);
}

}  // namespace
}  // namespace quatrain
