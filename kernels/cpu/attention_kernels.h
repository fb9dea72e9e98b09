#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/scratch.h"

namespace quatrain {

// The cache of one layer, as the CPU backend orders it:
//   K [num_blocks][2 * num_kv_heads][head_dim][block_size], keys across lanes
//   V [num_blocks][2 * num_kv_heads][block_size][head_dim], dims across lanes
// where planes 0 .. num_kv_heads - 1 of a block are K and the others V.

inline constexpr int kKeyTile = 32;
inline constexpr int kKeySegment = 512;

// Query rows that read the same KV head of the same sequence, over consecutive
// segments of keys.
struct AttentionTask {
  const KvLayer* kv = nullptr;
  const int32_t* block_table = nullptr;
  int kv_head = 0;
  float scale = 1.0f;
  int first_segment = 0;
  int end_segment = 0;

  int num_rows = 0;                // <= kAttentionRows
  const float* q[kAttentionRows];  // rotated, [head_dim]
  int begin_key[kAttentionRows];   // visible keys are [begin_key, end_key)
  int end_key[kAttentionRows];
  // One of these: the output [head_dim]; or, of exactly one segment, its state
  // [kPartialHeader + head_dim].
  float* out[kAttentionRows];
  float* partial[kAttentionRows];
  std::byte* scratch = nullptr;  // ScratchShape::thread_bytes
};

// The state of a segment: the maximum, the sum, 1 if there are keys, unused;
// then the values.
inline constexpr int kPartialHeader = 4;

struct AttentionKernels {
  // The first 2 * half dims of a head, in place.
  void (*rotate)(float* head, int half, const float* cos, const float* sin);
  // K and V of one token, f32 [num_kv_heads * head_dim] each.
  void (*store)(const KvLayer& kv, int64_t slot, const float* k,
                const float* v);
  void (*attend)(const AttentionTask& task);
  // The states of segments, ascending, to the output.
  void (*merge)(const float* partials, int count, int stride, int head_dim,
                float* out);
};

const AttentionKernels& AttentionKernelsFor(Isa isa, DType kv_dtype);

}  // namespace quatrain
