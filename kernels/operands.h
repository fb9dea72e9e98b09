#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/dtype.h"

// What the operations of a backend are told besides matrices.
namespace quatrain {

// RMS norm over a row: x / sqrt(mean(x^2) + eps) * weight.
struct Norm {
  std::vector<float> weight;  // [K]
  float eps = 1e-5f;
};

enum class ActivationFunction : uint8_t { kSilu };

// Rotary embedding of the first 2 * inv_freq.size() dims of a head, pairing
// dim i with dim i + inv_freq.size() (the Hugging Face order). The angle is
// position * inv_freq[i], an f32 product; cos and sin are multiplied by
// `scaling` (yarn's attention factor, else 1).
struct Rope {
  std::vector<float> inv_freq;
  float scaling = 1.0f;
};

// One stored KV head and the consecutive query heads that read it. All indices
// count this rank's own heads.
struct KvHeadUse {
  int kv_head = 0;
  int first_q_head = 0;
  int count = 0;
};

struct AttentionSpec {
  int num_q_heads = 0;   // on this rank, may be 0
  int num_kv_heads = 0;  // on this rank
  int head_dim = 0;
  float scale = 1.0f;  // scores are (q . k) * scale
  int window = 0;      // a token sees itself and window - 1 before; 0 = all
  std::vector<KvHeadUse> heads;
  Rope rope;
};

// One layer's K and V of this rank: num_blocks blocks of block_size tokens. The
// order inside is the backend's own; its size is kernels/record_size.h's.
struct KvLayer {
  void* data = nullptr;
  DType dtype = DType::kF16;  // kF16, kBF16 or kF32
  int num_blocks = 0;
  int block_size = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
};

// What follows a sum over the tensor group, before the residual.
struct Tail {
  std::vector<float> bias;  // [hidden_size] or empty
};

// This rank's part of the vocabulary, whole tiles of 256 ids (the last tile of
// the vocabulary may be shorter).
struct VocabSpec {
  int vocab_size = 0;
  std::vector<int> rank_ends;  // [group size], ascending; rank r owns
                               // [rank_ends[r-1], rank_ends[r])
  // Ids from here on are padding rows, which are never drawn. 0, or vocab_size
  // and more: there are none.
  int num_token_ids = 0;

  // One past the last id that may be drawn.
  int draw_end() const {
    return num_token_ids > 0 ? std::min(num_token_ids, vocab_size) : vocab_size;
  }
};

}  // namespace quatrain
