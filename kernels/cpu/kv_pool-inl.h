// Reads and writes of the paged pool of K and V, whose order
// attention_kernels.h states: f32 outside, the pool's type inside. Included
// once per instruction set.

#if defined(QUATRAIN_KV_POOL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUATRAIN_KV_POOL_INL_H_
#undef QUATRAIN_KV_POOL_INL_H_
#else
#define QUATRAIN_KV_POOL_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_kernels.h"
#include "kernels/cpu/attention_softmax-inl.h"
#include "kernels/cpu/hwy_targets.h"
#include "kernels/cpu/load_f32-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quatrain {
namespace HWY_NAMESPACE {
#if QUATRAIN_HWY_USABLE
namespace {

float ToF32(hwy::float16_t value) {
  uint16_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return F16ToF32(bits);
}
float ToF32(hwy::bfloat16_t value) {
  uint16_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return BF16ToF32(bits);
}
float ToF32(float value) { return value; }

void FromF32(float value, hwy::float16_t* to) {
  const uint16_t bits = F32ToF16(value);
  std::memcpy(to, &bits, sizeof(bits));
}
void FromF32(float value, hwy::bfloat16_t* to) {
  const uint16_t bits = F32ToBF16(value);
  std::memcpy(to, &bits, sizeof(bits));
}
void FromF32(float value, float* to) { *to = value; }

template <typename T>
HWY_INLINE void Widen(const T* from, int n, float* to) {
  const F32 df;
  int i = 0;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(LoadF32(df, from + i), df, to + i);
  for (; i < n; ++i) to[i] = ToF32(from[i]);
}

template <typename T>
void Narrow(const float* from, int n, T* to) {
  for (int i = 0; i < n; ++i) FromF32(from[i], to + i);
}
void Narrow(const float* from, int n, hwy::float16_t* to) {
  const F32 df;
  const hn::Rebind<hwy::float16_t, F32> d16;
  int i = 0;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(hn::DemoteTo(d16, hn::LoadU(df, from + i)), d16, to + i);
  for (; i < n; ++i) FromF32(from[i], to + i);
}

// The start of K (plane 0) or V (plane 1) of one block and KV head.
template <typename T>
T* Plane(const KvLayer& kv, int64_t block, int is_value, int kv_head) {
  const int64_t plane = (block * 2 + is_value) * kv.num_kv_heads + kv_head;
  return static_cast<T*>(kv.data) + plane * kv.block_size * kv.head_dim;
}

template <typename T>
void Store(const KvLayer& kv, int64_t slot, const float* k, const float* v) {
  const int64_t block = slot / kv.block_size;
  const int64_t offset = slot % kv.block_size;
  const int dim = kv.head_dim;
  T key[kMaxHeadDim];
  for (int h = 0; h < kv.num_kv_heads; ++h, k += dim, v += dim) {
    Narrow(k, dim, key);
    T* keys = Plane<T>(kv, block, 0, h) + offset;
    for (int d = 0; d < dim; ++d) keys[d * kv.block_size] = key[d];
    Narrow(v, dim, Plane<T>(kv, block, 1, h) + offset * dim);
  }
}

}  // namespace
#endif  // QUATRAIN_HWY_USABLE
}  // namespace HWY_NAMESPACE
}  // namespace quatrain
HWY_AFTER_NAMESPACE();

#endif  // QUATRAIN_KV_POOL_INL_H_
