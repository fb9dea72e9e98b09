// What stands before attention: the angles of a step, and the tokens' K and V
// on their way into the cache.
//
//   out[t, i] = (cos, sin)(position[t] * inv_freq[i]) * scaling
//   cache[slot[t]] = narrow(rotate(k[t])), narrow(v[t])
//
// Shapes    see table_attention.h. A word of 4 bytes is stored by one lane.
// Launch    angles: one block of 128 threads per token. Cache: one warp per
//           (token, K or V, KV head), 4 warps per block, no shared memory.
// Numerics  docs/numerics.md, 1 and 5: exact; f64 inside SinCos, one rounding
//           to the cache's type.
// Roofline  angles: once per step, 50 f64 operations per element. Cache:
//           memory bound, K twice (each element of a pair reads both) but once
//           from DRAM: 8 bytes read and 2 * element bytes written per element
//           of K and V; 8192 tokens of 8 heads of 128: 100 MB, 24 us at 4.3
//           TB/s.

#include "kernels/cuda/kv_store.cuh"

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/exact_math.cuh"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;

__global__ void __launch_bounds__(kThreads)
    RopeTableKernel(const float* inv_freq, int num_freqs, float scaling,
                    const int32_t* positions, float2* out) {
  out += static_cast<size_t>(blockIdx.x) * num_freqs;
  const float position = __int2float_rn(positions[blockIdx.x]);
#pragma unroll 1  // more at once spill registers on sm_90
  for (int i = threadIdx.x; i < num_freqs; i += kThreads) {
    const SinCosResult angle = SinCos(__fmul_rn(position, inv_freq[i]));
    out[i] = make_float2(__fmul_rn(angle.cos, scaling),
                         __fmul_rn(angle.sin, scaling));
  }
}

template <typename Cache>
__global__ void __launch_bounds__(kThreads)
    StoreKvKernel(QuatrainStoreKv op, CacheView kv) {
  const int heads = 2 * kv.num_kv_heads;
  const int64_t index =
      static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const int t = static_cast<int>(index / heads);
  if (t >= op.num_tokens) return;  // by whole warps
  const int64_t slot = op.slot_mapping[t];
  if (slot < 0) return;
  const int head = static_cast<int>(index % heads);
  const bool is_value = head >= kv.num_kv_heads;
  const HeadVector vector{
      op.qkv + t * op.qkv_stride +
          static_cast<int64_t>(op.num_q_heads + head) * op.kv.head_dim,
      reinterpret_cast<const float2*>(op.rope) +
          static_cast<int64_t>(t) * op.num_freqs,
      is_value ? 0 : op.num_freqs, op.marks != nullptr && op.marks[t] != 0};
  const int64_t key_row =
      kv.KeyRowOfSlot(slot, is_value ? head - kv.num_kv_heads : head);
  StoreHead<Cache>(vector, op.kv.head_dim, kv,
                   key_row + (is_value ? kv.value_rows() : 0), nullptr);
}

template <typename Cache>
void Launch(const QuatrainStoreKv& op, simt::Stream stream) {
  const int64_t warps = int64_t{2} * op.num_tokens * op.kv.num_kv_heads;
  simt::launch(StoreKvKernel<Cache>,
               dim3(static_cast<unsigned>((warps + kWarps - 1) / kWarps)),
               dim3(kThreads), 0, stream, op, ViewOf(op.kv, Cache::kBytes));
}

}  // namespace

const char* LaunchRopeTable(const QuatrainRopeTable& op, simt::Stream stream) {
  if (op.num_tokens < 0 || op.num_freqs < 0) return "rope_table: sizes";
  if (op.num_tokens == 0 || op.num_freqs == 0) return nullptr;
  simt::launch(RopeTableKernel, dim3(op.num_tokens), dim3(kThreads), 0, stream,
               op.inv_freq, op.num_freqs, op.scaling, op.positions,
               reinterpret_cast<float2*>(op.out));
  return nullptr;
}

const char* LaunchStoreKv(const QuatrainStoreKv& op, simt::Stream stream) {
  const int element = CacheElementBytes(op.kv.dtype);
  if (element == 0) return "store_kv: not a type of the KV cache";
  if (op.kv.head_dim < 8 || op.kv.head_dim % 8 != 0 ||
      2 * op.num_freqs > op.kv.head_dim)
    return "store_kv: head_dim or num_freqs";
  if (op.kv.block_size < 1) return "store_kv: block_size";
  if (op.kv.dtype == kQuatrainInt8 && op.kv.scales == nullptr)
    return "store_kv: no scales";
  if (op.num_tokens == 0 || op.kv.num_kv_heads == 0) return nullptr;
  switch (op.kv.dtype) {
    case kQuatrainF16:
      Launch<CacheF16>(op, stream);
      break;
    case kQuatrainBF16:
      Launch<CacheBF16>(op, stream);
      break;
    case kQuatrainF32:
      Launch<CacheF32>(op, stream);
      break;
    case kQuatrainInt8:
      Launch<CacheInt8>(op, stream);
      break;
    default:
      Launch<CacheFp8>(op, stream);
  }
  return nullptr;
}

}  // namespace quatrain::cuda
