#include <cstring>

#include "kernels/emu/cta.h"
#include "kernels/emu/fail.h"
#include "kernels/emu/half_bits.h"
#include "kernels/emu/instructions.h"
#include "kernels/emu/machine.h"

// mma.sync: fragments are gathered into small matrices, multiplied and
// scattered. Which lane holds what is said in ptx.h.
namespace simt::emu {
namespace {

constexpr int kM = 16;
constexpr int kN = 8;

template <typename Accumulator>
struct MmaCall {
  Accumulator* d;
  const uint32_t* a;
  const uint32_t* b;
};

template <typename Accumulator>
const MmaCall<Accumulator>& CallOf(void* const* args, int lane) {
  return *static_cast<const MmaCall<Accumulator>*>(args[lane]);
}

template <typename Accumulator>
void AddToFragments(void* const* args, const Accumulator (&c)[kM][kN]) {
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    Accumulator* d = CallOf<Accumulator>(args, lane).d;
    for (int i = 0; i < 4; ++i) d[i] = c[g + 8 * (i / 2)][2 * t + i % 2];
  }
}

template <typename Accumulator>
void GatherAccumulators(void* const* args, Accumulator (&c)[kM][kN]) {
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const Accumulator* d = CallOf<Accumulator>(args, lane).d;
    for (int i = 0; i < 4; ++i) c[g + 8 * (i / 2)][2 * t + i % 2] = d[i];
  }
}

// --- Bytes, K = 32 -----------------------------------------------------------

template <typename A>
void MmaBytes(uint32_t, void* const* args) {
  alignas(32) int16_t a[kM][32];
  alignas(32) int16_t b[kN][32];  // by column
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const auto& call = CallOf<int32_t>(args, lane);
    for (int i = 0; i < 16; ++i) {
      const auto byte = static_cast<A>(call.a[i / 4] >> 8 * (i % 4));
      a[g + 8 * (i / 4 % 2)][4 * t + i % 4 + 16 * (i / 8)] = byte;
    }
    for (int i = 0; i < 8; ++i) {
      const auto byte = static_cast<int8_t>(call.b[i / 4] >> 8 * (i % 4));
      b[g][4 * t + i % 4 + 16 * (i / 4)] = byte;
    }
  }
  int32_t c[kM][kN];
  GatherAccumulators(args, c);
  for (int m = 0; m < kM; ++m)
    for (int n = 0; n < kN; ++n) {
      int32_t sum = 0;
      for (int k = 0; k < 32; ++k) sum += a[m][k] * b[n][k];
      // The hardware wraps.
      c[m][n] = static_cast<int32_t>(static_cast<uint32_t>(c[m][n]) +
                                     static_cast<uint32_t>(sum));
    }
  AddToFragments(args, c);
}

// --- Halves, K = 16 ----------------------------------------------------------

// Products are exact in f32; they are added in the order of k. The hardware's
// order is not specified.
template <void (*Widen)(const uint32_t*, int, float*)>
void MmaHalves(uint32_t, void* const* args) {
  float a[kM][16];
  alignas(32) float b[16][kN];
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const auto& call = CallOf<float>(args, lane);
    float wide_a[8], wide_b[4];
    Widen(call.a, 8, wide_a);
    Widen(call.b, 4, wide_b);
    for (int i = 0; i < 8; ++i)
      a[g + 8 * (i / 2 % 2)][2 * t + i % 2 + 8 * (i / 4)] = wide_a[i];
    for (int i = 0; i < 4; ++i) b[2 * t + i % 2 + 8 * (i / 2)][g] = wide_b[i];
  }
  alignas(32) float c[kM][kN];
  GatherAccumulators(args, c);
  for (int m = 0; m < kM; ++m)
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < kN; ++n) c[m][n] += a[m][k] * b[k][n];
  AddToFragments(args, c);
}

template <typename Accumulator>
void Mma(Accumulator* d, const uint32_t* a, const uint32_t* b, LaneFn fn,
         uint64_t& counter, Place where) {
  MmaCall<Accumulator> call{d, a, b};
  if (ExistingLanes() != ~0u)
    Fail(Fault::kBadCall, where, "mma in a warp of fewer than 32 threads");
  counter += CurrentLane()->lane == 0;
  Rendezvous(~0u, OpKind::kMma, fn, &call, where);
}

}  // namespace

void MmaInt8(int32_t* d, const uint32_t* a, const uint32_t* b, bool signed_a,
             Place where) {
  Mma(d, a, b, signed_a ? MmaBytes<int8_t> : MmaBytes<uint8_t>,
      TheMachine().counters.mma_int8, where);
}

void MmaF16(float* d, const uint32_t* a, const uint32_t* b, Place where) {
  Mma(d, a, b, MmaHalves<WidenHalves>, TheMachine().counters.mma_f16, where);
}

void MmaBf16(float* d, const uint32_t* a, const uint32_t* b, Place where) {
  Mma(d, a, b, MmaHalves<WidenBfloats>, TheMachine().counters.mma_bf16, where);
}

}  // namespace simt::emu
