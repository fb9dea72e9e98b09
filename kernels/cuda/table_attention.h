#pragma once

#include <stddef.h>
#include <stdint.h>

// The part of table.h that is attention; what holds for all entries stands
// there. docs/numerics.md, 5 defines every bit.
//
// A step's order: rope_table(), attend_work() (once for layers of one shape and
// window), then per layer store_kv(), unless attend() stores, and attend().

#ifdef __cplusplus
extern "C" {
#endif

// One layer's K and V: [num_blocks][2][num_kv_heads][block_size][head_dim], K
// before V. kQuatrainInt8 keeps a = max|x| / 127 of each token and head beside
// it; a value is round_half_even(x / a), 0 where a < 2^-126, and is read as
// f32(value) * a. A head that is not finite has a = NaN. kQuatrainFp8 is e4m3,
// nearest even, saturating at 448; its NaN stays one.
struct QuatrainKvCache {
  void* data;     // 16-byte aligned
  float* scales;  // [num_blocks][2][num_kv_heads][block_size], or NULL
  int dtype;      // QuatrainDType
  int num_blocks;
  int block_size;
  int num_kv_heads;
  int head_dim;  // a multiple of 8, at most 256; of 16 for one-byte types
};

// The step (kernels/step.h) on the device. The tokens of a sequence have
// consecutive positions, the last is its last cached token. Tokens from
// cu_seqlens[num_sequences] on are padding; a sequence may be empty.
struct QuatrainStep {
  int num_tokens;
  int num_sequences;
  int block_stride;
  const int32_t* positions;     // [num_tokens]
  const int64_t* slot_mapping;  // [num_tokens]; -1: nothing is stored
  const int32_t* cu_seqlens;    // [num_sequences + 1]
  const int32_t* block_tables;  // [num_sequences, block_stride]
};

// A KV head and the consecutive query heads that read it.
struct QuatrainHeadUse {
  int32_t kv_head;
  int32_t first_q_head;
  int32_t count;
};

// cos and sin of position * inv_freq[i], each times `scaling`.
struct QuatrainRopeTable {
  const float* inv_freq;  // [num_freqs]
  int num_freqs;
  float scaling;
  const int32_t* positions;  // [num_tokens]
  int num_tokens;
  float* out;  // [num_tokens, num_freqs, 2], 8-byte aligned
};

// Rotates K and writes K and V of every token to its slot. A marked token's are
// NaN.
struct QuatrainStoreKv {
  const float* qkv;  // [num_tokens, qkv_stride]: q heads, k, v
  int64_t qkv_stride;
  const int32_t* marks;  // [num_tokens] or NULL
  int num_q_heads;
  const float* rope;  // of rope_table(), or NULL with num_freqs 0
  int num_freqs;      // 2 * num_freqs <= head_dim
  const int64_t* slot_mapping;
  int num_tokens;
  struct QuatrainKvCache kv;
};

// What decides how attention is divided; never the bits of attend().
struct QuatrainAttendShape {
  int num_q_heads;
  int num_kv_heads;
  int head_dim;
  int kv_dtype;
  int num_uses;    // length of the table of QuatrainHeadUse
  int max_count;   // its largest count
  int window;      // 0: all
  int max_tokens;  // of a step
  int max_sequences;
  int compute_capability;  // 80, 86, 89, 90: how much shared memory there is
  int num_sms;
  int uses_mma;  // which entry the work is for: 0 attend(), 1 attend_mma()
};

// Divides a step into work that blocks take in turn. `work` is memory of
// attend_bytes(shape), 256-byte aligned, and serves attend() of all layers with
// this shape until the next attend_work() on it.
struct QuatrainAttendWork {
  struct QuatrainAttendShape shape;
  struct QuatrainStep step;
  void* work;
};

enum QuatrainAttendList {
  kQuatrainSingles = 1,  // sequences with one token in this step
  kQuatrainChunks = 2,   // those with more
};

// out[t, head] = attention of query head `head` of token t over what its
// sequence has cached. Rows of padding tokens are left alone. A NaN that leaves
// is 0x7fc00000.
struct QuatrainAttend {
  struct QuatrainAttendShape shape;
  struct QuatrainStep step;
  void* work;
  int lists;  // QuatrainAttendList, or'ed: what the step may have
  // 1: also does store_kv()'s work. Only where no sequence has more than one
  // token, every KV head is in `heads`, and none is twice.
  int stores;
  const float* qkv;  // as in QuatrainStoreKv
  int64_t qkv_stride;
  const int32_t* marks;  // [num_tokens] or NULL: a marked row counts as NaN
  const float* rope;
  int num_freqs;
  const struct QuatrainHeadUse* heads;  // [num_uses], on the device
  float scale;
  struct QuatrainKvCache kv;
  float* out;  // [num_tokens, out_stride], rows 16-byte aligned
  int64_t out_stride;
};

#ifdef __cplusplus
}
#endif
