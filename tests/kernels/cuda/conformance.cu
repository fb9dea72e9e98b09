// One warp, one instruction: what the hardware and the emulated device make of
// the same inputs.

#include "tests/kernels/cuda/conformance.h"

#include "kernels/cuda/ptx.h"

namespace quatrain::conformance {
namespace {

constexpr uint32_t kAll = 0xffffffffu;

// Each takes a lane's words and changes them into its results.
struct Lane {
  uint32_t w[kWords];
};

__device__ void Zero(Lane& lane, int from) {
  for (int i = from; i < kWords; ++i) lane.w[i] = 0;
}

template <bool kSigned>
__device__ void IntegerMma(Lane& lane) {
  int32_t d[4] = {static_cast<int32_t>(lane.w[6]), -1, 0, 7};
  const uint32_t a[4] = {lane.w[0], lane.w[1], lane.w[2], lane.w[3]};
  const uint32_t b[2] = {lane.w[4], lane.w[5]};
  if constexpr (kSigned)
    ptx::mma_m16n8k32_s8s8(d, a, b);
  else
    ptx::mma_m16n8k32_u8s8(d, a, b);
  for (int i = 0; i < 4; ++i) lane.w[i] = static_cast<uint32_t>(d[i]);
  Zero(lane, 4);
}

template <bool kBFloat>
__device__ void FloatMma(Lane& lane) {
  float d[4] = {0.0f, 1.0f, -2.0f, 0.5f};
  const uint32_t a[4] = {lane.w[0], lane.w[1], lane.w[2], lane.w[3]};
  const uint32_t b[2] = {lane.w[4], lane.w[5]};
  if constexpr (kBFloat)
    ptx::mma_m16n8k16_bf16(d, a, b);
  else
    ptx::mma_m16n8k16_f16(d, a, b);
  for (int i = 0; i < 4; ++i) lane.w[i] = __float_as_uint(d[i]);
  Zero(lane, 4);
}

// The words of all lanes in shared memory, 32 bytes a lane; lane l's row
// address is that of row l % 32, as 16 bytes.
__device__ const void* Rows(const Lane& lane) {
  SIMT_SHARED(uint4, rows, [kLanes]);
  rows[threadIdx.x] = {lane.w[0], lane.w[1], lane.w[2], lane.w[3]};
  __syncwarp();
  return rows + threadIdx.x;
}

__device__ void LdMatrix(Lane& lane) {
  uint32_t r[4];
  ptx::ldmatrix_x4(r, Rows(lane));
  for (int i = 0; i < 4; ++i) lane.w[i] = r[i];
  Zero(lane, 4);
}

__device__ void LdMatrixTrans(Lane& lane) {
  uint32_t r[4];
  ptx::ldmatrix_x4_trans(r, Rows(lane));
  for (int i = 0; i < 4; ++i) lane.w[i] = r[i];
  Zero(lane, 4);
}

__device__ void Lop3(Lane& lane) {
  const uint32_t a = lane.w[0], b = lane.w[1], c = lane.w[2];
  lane.w[0] = ptx::lop3<0xea>(a, b, c);
  lane.w[1] = ptx::lop3<0x96>(a, b, c);
  lane.w[2] = ptx::lop3<0x1b>(a, b, c);
  Zero(lane, 3);
}

__device__ void BytePermute(Lane& lane) {
  lane.w[0] = __byte_perm(lane.w[0], lane.w[1], lane.w[2]);
  lane.w[1] = __byte_perm(lane.w[3], lane.w[4], 0x4140u);
  lane.w[2] = __byte_perm(lane.w[3], lane.w[4], 0x4342u);
  Zero(lane, 3);
}

__device__ void DotProduct4(Lane& lane) {
  lane.w[0] = static_cast<uint32_t>(__dp4a(static_cast<int>(lane.w[0]),
                                           static_cast<int>(lane.w[1]),
                                           static_cast<int>(lane.w[2])));
  lane.w[1] = __dp4a(lane.w[3], lane.w[4], lane.w[5]);
  Zero(lane, 2);
}

__device__ void Shuffles(Lane& lane) {
  lane.w[0] = __shfl_down_sync(kAll, lane.w[0], 5);
  lane.w[1] = __shfl_xor_sync(kAll, lane.w[1], 9);
  lane.w[2] = __shfl_sync(kAll, lane.w[2], lane.w[3] % 32, 8);
  lane.w[3] = __shfl_up_sync(kAll, lane.w[4], 3, 16);
  lane.w[4] = __reduce_max_sync(kAll, lane.w[5]);
  lane.w[5] = static_cast<uint32_t>(
      __reduce_add_sync(kAll, static_cast<int>(lane.w[6])));
  lane.w[6] = __ballot_sync(kAll, (lane.w[7] & 1) != 0);
  Zero(lane, 7);
}

__device__ void F32Arithmetic(Lane& lane) {
  const float a = __uint_as_float(lane.w[0]), b = __uint_as_float(lane.w[1]),
              c = __uint_as_float(lane.w[2]);
  lane.w[0] = __float_as_uint(__fmaf_rn(a, b, c));
  lane.w[1] = __float_as_uint(__fdiv_rn(a, b));
  lane.w[2] = __float_as_uint(__fsqrt_rn(fabsf(c)));
  lane.w[3] = __float_as_uint(__fadd_rn(a, c));
  lane.w[4] = __float_as_uint(__fmul_rn(b, c));
  lane.w[5] = __float_as_uint(__double2float_rn(
      __dmul_rn(static_cast<double>(a), static_cast<double>(b))));
  lane.w[6] = __half_as_ushort(__float2half_rn(a));
  lane.w[7] = __bfloat16_as_ushort(__float2bfloat16_rn(b));
}

__device__ void Exp2Approximate(Lane& lane) {
  for (int i = 0; i < kWords; ++i)
    lane.w[i] = __float_as_uint(ptx::ex2_approx(__uint_as_float(lane.w[i])));
}

__device__ void ReciprocalApproximate(Lane& lane) {
  for (int i = 0; i < kWords; ++i)
    lane.w[i] = __float_as_uint(ptx::rcp_approx(__uint_as_float(lane.w[i])));
}

// Copies of 16, 8 and 4 bytes, some shortened, the rest becoming 0.
__device__ void AsyncCopies(Lane& lane, const uint32_t* in) {
  SIMT_SHARED(uint4, to, [kLanes * 2]);
  const int id = threadIdx.x;
  unsigned char* first = reinterpret_cast<unsigned char*>(to + 2 * id);
  ptx::cp_async16(first, in + id * kWords, id % 3 == 0 ? 8 : 16);
  ptx::cp_async8(first + 16, in + id * kWords + 4, id % 3 == 1 ? 0 : 8);
  ptx::cp_async4(first + 24, in + id * kWords + 6, 4);
  ptx::cp_async4(first + 28, in + id * kWords + 7, id % 3 == 2 ? 0 : 4);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  __syncwarp();
  const uint32_t* words = reinterpret_cast<const uint32_t*>(first);
  for (int i = 0; i < kWords; ++i) lane.w[i] = words[i];
}

__device__ void StreamingLoads(Lane& lane, const uint32_t* in) {
  const uint32_t* row = in + threadIdx.x * kWords;
  const uint4 four = ptx::load_stream16(row);
  const uint2 two = ptx::load_stream8(row + 4);
  lane = {{four.w, four.z, four.y, four.x, two.y, two.x,
           ptx::load_stream4(row + 7), ptx::load_stream4(row + 6)}};
}

constexpr Operation kOperations[] = {
    {"mma_m16n8k32_u8s8", 0, Operation::kBits},
    {"mma_m16n8k32_s8s8", 0, Operation::kBits},
    // The order of the additions is the hardware's own.
    {"mma_m16n8k16_f16", 64, Operation::kF16},
    {"mma_m16n8k16_bf16", 64, Operation::kBF16},
    {"ldmatrix_x4", 0, Operation::kBits},
    {"ldmatrix_x4_trans", 0, Operation::kBits},
    {"lop3", 0, Operation::kBits},
    {"byte_perm", 0, Operation::kBits},
    {"dp4a", 0, Operation::kBits},
    {"warp_operations", 0, Operation::kBits},
    {"f32_arithmetic", 0, Operation::kF32},
    {"ex2_approx", 4, Operation::kF32},
    {"rcp_approx", 2, Operation::kF32Positive},
    {"cp_async", 0, Operation::kBits},
    {"load_stream", 0, Operation::kBits},
};
constexpr int kNumOperations = sizeof(kOperations) / sizeof(kOperations[0]);

__device__ void Run(int index, Lane& lane, const uint32_t* in) {
  switch (index) {
    case 0:
      return IntegerMma<false>(lane);
    case 1:
      return IntegerMma<true>(lane);
    case 2:
      return FloatMma<false>(lane);
    case 3:
      return FloatMma<true>(lane);
    case 4:
      return LdMatrix(lane);
    case 5:
      return LdMatrixTrans(lane);
    case 6:
      return Lop3(lane);
    case 7:
      return BytePermute(lane);
    case 8:
      return DotProduct4(lane);
    case 9:
      return Shuffles(lane);
    case 10:
      return F32Arithmetic(lane);
    case 11:
      return Exp2Approximate(lane);
    case 12:
      return ReciprocalApproximate(lane);
    case 13:
      return AsyncCopies(lane, in);
    case 14:
      return StreamingLoads(lane, in);
  }
}

__global__ void ConformanceKernel(int index, const uint32_t* in,
                                  uint32_t* out) {
  Lane lane;
  for (int i = 0; i < kWords; ++i) lane.w[i] = in[threadIdx.x * kWords + i];
  Run(index, lane, in);
  for (int i = 0; i < kWords; ++i) out[threadIdx.x * kWords + i] = lane.w[i];
}

}  // namespace

int NumOperations() { return kNumOperations; }
const Operation& GetOperation(int index) { return kOperations[index]; }

void Launch(int index, const uint32_t* in, uint32_t* out) {
  simt::launch(ConformanceKernel, dim3(1), dim3(kLanes), 0, nullptr, index, in,
               out);
}

}  // namespace quatrain::conformance
