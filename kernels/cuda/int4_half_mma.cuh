#pragma once

#include "kernels/cuda/int4_mma.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table.h"

// Nibbles as operands of f16 and bf16 products, without arithmetic: under the
// bits of a power of two a nibble q is that base + q. The base goes where sums
// are corrected: sum over k of (base + q) x = sum of q x + sum of base x.
//
// A record's word has k 0, 8, 1, 9, 2, 10, 3, 11 of a lane in its nibbles (in a
// half pair 0, 4, 1, 5, 2, 6, 3, 7). Nibbles 16 bits apart make one operand
// register, so those are {0, 2}, {8, 10}, {1, 3} and {9, 11}: even k, then odd
// ones. Activations lie in that order.
namespace quatrain::cuda {

// The activations of places 16 i .. 16 i + 15 as they are stored: even places
// first. Of position `at`:
QUATRAIN_HOST_DEVICE constexpr int PlaceOfPosition(int at) {
  const int i = at % 16;
  return at - i + i % 8 * 2 + i / 8;
}

// (a & b) | c. Written in C++ it becomes two instructions with a constant each.
constexpr int kAndOr = 0xea;

// Low() and High(): of a word, shifted by 8 for odd k, an operand register of
// its low and of its high nibbles. kLowBase, kHighBase: what those have too
// much.
struct F16Nibbles {
  using Element = __half;
  static constexpr int kScales = kQuatrainF16;
  static constexpr float kLowBase = 1024.0f;
  static constexpr float kHighBase = 64.0f;  // a nibble at bit 4 counts 1 there

  __device__ static uint32_t Low(uint32_t word) {
    return ptx::lop3<kAndOr>(word, 0x000f000fu, 0x64006400u);
  }
  __device__ static uint32_t High(uint32_t word) {
    return ptx::lop3<kAndOr>(word, 0x00f000f0u, 0x54005400u);
  }
  __device__ static void Multiply(float (&d)[4], const uint32_t (&a)[4],
                                  const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_f16(d, a, b);
  }
};

struct BF16Nibbles {
  using Element = __nv_bfloat16;
  static constexpr int kScales = kQuatrainBF16;
  static constexpr float kLowBase = 128.0f;
  static constexpr float kHighBase = 128.0f;

  __device__ static uint32_t Low(uint32_t word) {
    return ptx::lop3<kAndOr>(word, 0x000f000fu, 0x43004300u);
  }
  __device__ static uint32_t High(uint32_t word) { return Low(word >> 4); }
  __device__ static void Multiply(float (&d)[4], const uint32_t (&a)[4],
                                  const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_bf16(d, a, b);
  }
};

// The A operands of 16 outputs and the even or odd k of a pair: two steps of a
// whole one, one of a half one.
template <typename Nibbles, bool kWhole>
struct WeightSteps {
  static constexpr int kSteps = kWhole ? 2 : 1;
  uint32_t a[kSteps][4];

  // `w`: a lane's words; odd: 0 or 1.
  __device__ __forceinline__ WeightSteps(const uint4& w, int odd) {
    const uint32_t words[4] = {w.x >> 8 * odd, w.y >> 8 * odd, w.z >> 8 * odd,
                               w.w >> 8 * odd};
#pragma unroll
    for (int i = 0; i < (kWhole ? 4 : 2); ++i) {
      const uint32_t low = Nibbles::Low(words[i]);
      const uint32_t high = Nibbles::High(words[i]);
      a[0][i] = low;
      a[kSteps - 1][kWhole ? i : i + 2] = high;
    }
  }

  // `x`: the 8 halves that lie at this lane's even or odd places.
  __device__ __forceinline__ void Multiply(const uint4& x,
                                           float (&d)[4]) const {
    Nibbles::Multiply(d, a[0], {x.x, x.y});
    if (kWhole) Nibbles::Multiply(d, a[kSteps - 1], {x.z, x.w});
  }
};

}  // namespace quatrain::cuda
