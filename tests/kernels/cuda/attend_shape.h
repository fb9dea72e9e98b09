#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/attention_plan.h"
#include "tests/kernels/cuda/device.h"

// What tests ask of a shape of attention.
namespace quatrain {

inline size_t AttendWorkBytes(const QuatrainAttendShape& shape) {
  size_t bytes = 0;
  CudaOk(Cuda().attend_bytes(&shape, &bytes), "attend_bytes");
  return bytes;
}

// Bytes of shared memory that a block can have at most.
inline uint32_t SharedLimit(int compute_capability) {
  return compute_capability == 80   ? 163 * 1024
         : compute_capability == 90 ? 227 * 1024
                                    : 99 * 1024;
}

// `compute_capability`, or the device's where a block that is planned for the
// other does not fit it.
inline int CapabilityToRun(int compute_capability) {
  const int device = Device().compute_capability;
  return SharedLimit(compute_capability) <= SharedLimit(device)
             ? compute_capability
             : device;
}

// check(shape, list, sequences) for shapes of one KV head on every device.
template <typename Check>
void ForAttendShapes(std::span<const QuatrainDType> dtypes,
                     std::span<const int> dims, int uses_mma, Check check) {
  for (const int capability : {80, 86, 89, 90})
    for (const QuatrainDType dtype : dtypes)
      for (const int dim : dims)
        for (const int count : {1, 4, 8, 71})
          for (const int sequences : {1, 500})
            for (const int list : {cuda::kSingles, cuda::kChunks})
              check({.num_q_heads = count,
                     .num_kv_heads = 1,
                     .head_dim = dim,
                     .kv_dtype = dtype,
                     .num_uses = 1,
                     .max_count = count,
                     .window = 0,
                     .max_tokens = 512,
                     .max_sequences = 512,
                     .compute_capability = capability,
                     .num_sms = 100,
                     .uses_mma = uses_mma},
                    list, sequences);
}

}  // namespace quatrain
