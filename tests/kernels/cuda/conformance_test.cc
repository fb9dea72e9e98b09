// Does the emulated device do what hardware does? Files in
// tests/kernels/cuda/conformance hold what a GPU made of random inputs, one per
// operation; every device must reproduce them. On a GPU,
//
//   QUATRAIN_RECORD=FOLDER conformance_cuda
//
// writes them (scripts/gpu_check.sh does). Without a file an operation is
// skipped, and says so.

#include "tests/kernels/cuda/conformance.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "base/half.h"
#include "tests/kernels/cuda/compare.h"
#include "tests/kernels/cuda/linear_case.h"

namespace quatrain {
namespace {

using conformance::kLanes;
using conformance::kWords;
using conformance::Operation;
constexpr int kRounds = 16;  // of a whole warp, per operation
constexpr const char* kFolder = "tests/kernels/cuda/conformance/";

using Words = std::vector<uint32_t>;

uint32_t RandomWord(Operation::Inputs kind, Random& random) {
  const auto small = [&] { return random.Bell() * 4.0f; };
  switch (kind) {
    case Operation::kF16:
      return F32ToF16(small()) | uint32_t{F32ToF16(small())} << 16;
    case Operation::kBF16:
      return F32ToBF16(small()) | uint32_t{F32ToBF16(small())} << 16;
    case Operation::kF32:
      return std::bit_cast<uint32_t>(std::ldexp(small(), random.Int(-20, 4)));
    case Operation::kF32Positive:
      return std::bit_cast<uint32_t>(
          std::ldexp(random.Uniform(1.0f, 2.0f), random.Int(-60, 60)));
    default:
      return random.Bits();
  }
}

Words MakeInputs(int index) {
  Random random(100 + index);
  Words words(kRounds * kLanes * kWords);
  for (uint32_t& word : words)
    word = RandomWord(conformance::GetOperation(index).inputs, random);
  return words;
}

Words Run(int index, const Words& inputs) {
  const DeviceArray<uint32_t> in(inputs), out(inputs.size());
  for (int round = 0; round < kRounds; ++round)
    conformance::Launch(index, in.data() + round * kLanes * kWords,
                        out.data() + round * kLanes * kWords);
  return out.Download();
}

void Record(const std::string& path, const Words& inputs,
            const Words& outputs) {
  QuatrainDeviceInfo info;
  CudaOk(Cuda().device_info(0, &info), "device_info");
  std::ofstream file(path);
  file << "# " << info.name << ", inputs and outputs of " << kRounds
       << " warps, a lane a line\n"
       << std::hex;
  for (size_t i = 0; i < inputs.size(); i += kWords) {
    for (int w = 0; w < kWords; ++w) file << inputs[i + w] << ' ';
    file << "-";
    for (int w = 0; w < kWords; ++w) file << ' ' << outputs[i + w];
    file << '\n';
  }
}

// Reads what Record wrote.
bool ReadRecord(const std::string& path, Words& inputs, Words& outputs) {
  std::ifstream file(path);
  std::string comment, dash;
  if (!std::getline(file, comment)) return false;
  uint32_t word;
  file >> std::hex;
  for (int i = 0; i < kRounds * kLanes; ++i) {
    for (int w = 0; w < kWords && file >> word; ++w) inputs.push_back(word);
    file >> dash;
    for (int w = 0; w < kWords && file >> word; ++w) outputs.push_back(word);
  }
  return inputs.size() == size_t{kRounds} * kLanes * kWords &&
         outputs.size() == inputs.size();
}

// In units of the last place of the larger; of the mma's inputs, of 1.
bool Near(uint32_t a, uint32_t b, int tolerance_ulp) {
  if (a == b) return true;
  if (tolerance_ulp == 0) return false;
  const float x = std::bit_cast<float>(a), y = std::bit_cast<float>(b);
  const float larger = std::max({std::fabs(x), std::fabs(y), 0x1p-126f});
  return std::fabs(x - y) <=
         tolerance_ulp * std::ldexp(1.0f, std::ilogb(larger) - 23) +
             (tolerance_ulp > 8 ? 0x1p-16f : 0.0f);
}

SIMT_TEST(InstructionsDoWhatHardwareDoes) {
  const char* record = std::getenv("QUATRAIN_RECORD");
  std::string missing;
  for (int i = 0; i < conformance::NumOperations(); ++i) {
    const Operation& operation = conformance::GetOperation(i);
    const std::string name = operation.name;
    if (record != nullptr) {
      const Words inputs = MakeInputs(i);
      Record(record + ("/" + name + ".txt"), inputs, Run(i, inputs));
      continue;
    }
    Words inputs, expected;
    if (!ReadRecord(kFolder + name + ".txt", inputs, expected)) {
      missing += " " + name;
      continue;
    }
    const Words actual = Run(i, inputs);
    size_t wrong = 0;
    for (size_t w = 0; w < actual.size(); ++w)
      wrong += !Near(actual[w], expected[w], operation.tolerance_ulp);
    EXPECT_TEXT(wrong == 0,
                name + ": " + std::to_string(wrong) + " words differ");
  }
  if (!missing.empty())
    runner::Skipped() = "no file of real hardware for" + missing;
}

// What a GPU would write can be read again, and is what was run.
SIMT_TEST(RecordsAreReadAsTheyWereWritten) {
  const std::string path =
      std::string(std::getenv("TMPDIR") != nullptr ? std::getenv("TMPDIR")
                                                   : "/tmp") +
      "/quatrain_conformance_" + std::to_string(Random(1).Bits()) + "_" +
      std::to_string(reinterpret_cast<uintptr_t>(&path)) + ".txt";
  for (int i = 0; i < conformance::NumOperations(); ++i) {
    const Words inputs = MakeInputs(i);
    const Words outputs = Run(i, inputs);
    Record(path, inputs, outputs);
    Words read_inputs, read_outputs;
    EXPECT(ReadRecord(path, read_inputs, read_outputs));
    EXPECT_SAME(read_inputs, inputs, conformance::GetOperation(i).name);
    EXPECT_SAME(read_outputs, outputs, conformance::GetOperation(i).name);
  }
  std::remove(path.c_str());
}

}  // namespace
}  // namespace quatrain
