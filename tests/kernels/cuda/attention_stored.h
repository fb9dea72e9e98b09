#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/half.h"
#include "kernels/cuda/table.h"

// A head as the cache keeps it, the naive way.
namespace quatrain {

inline float E4m3ToF32(int code) {
  const int exponent = code >> 3 & 15;
  const int fraction = code & 7;
  const float sign = code & 0x80 ? -1.0f : 1.0f;
  if ((code & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(fraction, -9);
  return sign * std::ldexp(8.0f + fraction, exponent - 10);
}

// The nearest code, the even one of two.
inline uint8_t F32ToE4m3(float value) {
  const int sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7f;
  const double magnitude = std::fabs(value);
  // Codes ascend with their values: the last that is not above, and the next.
  int code = 0;
  for (int bit = 0x40; bit > 0; bit /= 2)
    if (code + bit <= 0x7e && E4m3ToF32(code + bit) <= magnitude) code += bit;
  if (code == 0x7e) return sign | code;
  const double down = magnitude - E4m3ToF32(code);
  const double up = E4m3ToF32(code + 1) - magnitude;
  return sign | (up < down || (up == down && code % 2 == 1) ? code + 1 : code);
}

struct StoredHead {
  std::vector<unsigned char> bytes;
  float scale = 0;
  std::vector<float> read;  // what a reader sees
};

inline StoredHead Stored(QuatrainDType dtype, const float* values, int dim) {
  StoredHead head;
  float largest = 0;
  bool is_finite = true;
  for (int d = 0; d < dim; ++d) {
    largest = std::max(largest, std::fabs(values[d]));
    is_finite = is_finite && std::isfinite(values[d]);
  }
  head.scale =
      is_finite ? largest / 127.0f : std::numeric_limits<float>::quiet_NaN();
  const auto append = [&head](auto code) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(&code);
    head.bytes.insert(head.bytes.end(), bytes, bytes + sizeof(code));
  };
  for (int d = 0; d < dim; ++d) {
    const float x = values[d];
    if (dtype == kQuatrainF32) {
      append(x);
      head.read.push_back(x);
    } else if (dtype == kQuatrainF16) {
      append(F32ToF16(x));
      head.read.push_back(F16ToF32(F32ToF16(x)));
    } else if (dtype == kQuatrainBF16) {
      append(F32ToBF16(x));
      head.read.push_back(BF16ToF32(F32ToBF16(x)));
    } else if (dtype == kQuatrainInt8) {
      const bool is_zero =
          !is_finite || head.scale < std::numeric_limits<float>::min();
      const int8_t q =
          is_zero ? 0 : static_cast<int8_t>(std::nearbyint(x / head.scale));
      append(q);
      head.read.push_back(static_cast<float>(q) * head.scale);
    } else {
      append(F32ToE4m3(x));
      head.read.push_back(E4m3ToF32(F32ToE4m3(x)));
    }
  }
  return head;
}

}  // namespace quatrain
