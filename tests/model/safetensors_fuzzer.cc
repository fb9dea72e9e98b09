#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/safetensors.h"

// The first byte scales the size of the data; the rest is the header's text.
// What is accepted must keep its promises: tensors inside the data, their bytes
// as many as their shape needs.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint64_t data_bytes = data[0] * uint64_t{4};
  const std::string_view text(reinterpret_cast<const char*>(data) + 1,
                              size - 1);
  const auto tensors =
      quatrain::ParseSafetensorsHeader(text, data_bytes, "fuzz");
  if (!tensors.ok()) return 0;
  uint64_t total = 0;
  for (const quatrain::TensorInfo& info : *tensors) {
    CHECK(info.begin <= info.end && info.end <= data_bytes);
    uint64_t bits = BitsOf(info.dtype);
    for (const int64_t dimension : info.shape) bits *= dimension;
    CHECK_EQ(bits, 8 * (info.end - info.begin));
    total += info.end - info.begin;
  }
  CHECK_EQ(total, data_bytes);
  return 0;
}
