#include "base/check.h"
#include "base/half.h"
#include "kernels/reference_math.h"

namespace quatrain {

float LoadAs(DType dtype, const void* data, size_t i) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(data)[i];
    case DType::kF16:
      return F16ToF32(static_cast<const uint16_t*>(data)[i]);
    case DType::kBF16:
      return BF16ToF32(static_cast<const uint16_t*>(data)[i]);
    default:
      CHECK(false) << Name(dtype) << " is no floating point type of ours";
      return 0.0f;
  }
}

void StoreAs(DType dtype, float value, void* data, size_t i) {
  switch (dtype) {
    case DType::kF32:
      static_cast<float*>(data)[i] = value;
      return;
    case DType::kF16:
      static_cast<uint16_t*>(data)[i] = F32ToF16(value);
      return;
    case DType::kBF16:
      static_cast<uint16_t*>(data)[i] = F32ToBF16(value);
      return;
    default:
      CHECK(false) << Name(dtype) << " is no floating point type of ours";
  }
}

}  // namespace quatrain
