#pragma once

#include <stdint.h>

// Operands of sampling (docs/numerics.md, 6), part of table.h.

#ifdef __cplusplus
extern "C" {
#endif

enum {
  kQuatrainMaxTopLogprobs = 20,
  kQuatrainMaxCandidates = 256,  // of a rank, for a filtered row
  kQuatrainMaxVocab = 1 << 20,   // ids of one part
};

// An id of a row's prompt or output, for the penalties.
struct QuatrainTokenCount {
  int32_t token_id;
  int32_t in_prompt;     // 0 or 1
  int32_t output_count;  // occurrences in the output
};

struct QuatrainLogitBias {
  int32_t token_id;
  float bias;  // finite
};

enum QuatrainSampleKind {
  kQuatrainSkipRow = 0,  // padding of a batch: nothing is read or written
  kQuatrainDrawRow = 1,
  kQuatrainScoreRow = 2,  // `target` is scored
};

// What is wanted of one row of logits; device memory, 8-byte aligned.
struct QuatrainSampleRow {
  uint64_t seed;
  uint32_t choice;
  int32_t position;          // of the token whose successor is drawn
  int32_t kind;              // QuatrainSampleKind
  int32_t target;            // where scored: an id of the whole vocabulary
  float temperature;         // 0: greedy
  int32_t top_k;             // 0: off
  float top_p;               // (0, 1]; 1: off
  float min_p;               // [0, 1]; 0: off; else at least 2^-126
  float repetition_penalty;  // > 0; 1: off
  float frequency_penalty;   // 0: off
  float presence_penalty;    // 0: off
  // The row's part of the lists of QuatrainTransform. A row with neither is
  // used as it is.
  int32_t first_count;
  int32_t num_counts;
  int32_t first_bias;
  int32_t num_biases;
  int32_t logprobs;      // 1: of the chosen token
  int32_t top_logprobs;  // 0..kQuatrainMaxTopLogprobs, implies logprobs
};

// Logits of num_rows rows: those of the consecutive ids [first_id, first_id +
// num_ids), of which the first num_drawable are no padding of the vocabulary.
struct QuatrainSampleInput {
  const float* logits;       // [num_rows, stride], 16-byte aligned
  const float* transformed;  // the same shape, made by transform(); NULL where
                             // no row has counts or biases
  int64_t stride;            // a multiple of 4
  const int32_t* marks;      // [num_rows] or NULL: a row that is not 0 is NaN
  const struct QuatrainSampleRow* rows;  // [num_rows]
  int num_rows;
  int first_id;  // a multiple of 256
  int num_ids;
  int num_drawable;
  // num_rows * sample_scratch_bytes(num_ids), 256-byte aligned. Zeros before
  // its first use; every operation leaves it ready for the next one of the same
  // num_ids. Operations that share it must not overlap.
  void* scratch;
};

// transformed[r] = the logits of drawable ids after penalties and biases, for
// the rows that have any. No id is twice in one row's list; ids of other parts
// and of padding are skipped.
struct QuatrainTransform {
  struct QuatrainSampleInput input;  // transformed and scratch do not count
  const struct QuatrainTokenCount* counts;
  const struct QuatrainLogitBias* biases;
  float* transformed;  // [num_rows, input.stride]
};

struct QuatrainTopToken {
  int32_t token_id;
  float logprob;
};

// What became of one row: SampledRow of kernels/step.h.
struct QuatrainSampled {
  int32_t token_id;    // drawn, or the target; -1 where not finite
  int32_t not_finite;  // 1: the rest means nothing
  float logprob;       // of token_id, where asked for
  int32_t rank;        // likewise, from 1
  int32_t num_top;
  struct QuatrainTopToken top[kQuatrainMaxTopLogprobs];  // i has rank i + 1
};

// The whole draw, for a group of one: first_id is 0.
struct QuatrainSample {
  struct QuatrainSampleInput input;
  struct QuatrainSampled* out;  // [num_rows]
};

// An id (of the whole vocabulary) with its logit before and after penalties.
struct QuatrainCandidate {
  int32_t token_id;
  float logit;
  float raw_logit;
};

// What a rank of a larger group says about a row (kernels/sampler.cc).
struct QuatrainRowPart {
  int32_t not_finite;      // 1: the rest of the row is not written
  int32_t num_candidates;  // 1 without a filter, else at most
                           // kQuatrainMaxCandidates and top_k
  int32_t num_top;
  float target_logit;  // raw; 0 where the target is not of this part
};

struct QuatrainSamplePart {
  struct QuatrainSampleInput input;
  struct QuatrainRowPart* parts;  // [num_rows]
  // [num_rows, tile_stride], one value per 256 ids: of the raw logits where
  // log-probabilities are wanted, of logit / temperature over the drawable ids
  // where top_p is the first filter.
  float* raw_lse;
  float* lse;
  int64_t tile_stride;
  struct QuatrainCandidate* candidates;  // [num_rows, kQuatrainMaxCandidates]
  struct QuatrainCandidate* top;         // [num_rows, kQuatrainMaxTopLogprobs]
};

// What a rank's share of a rank (1 = the most probable) is counted from.
struct QuatrainCountBefore {
  int32_t wanted;  // 0: the row's count stays as it is
  float value;
  int32_t end_of_ties;  // index within the part, may lie outside
};

// counts[r] += drawable raw logits larger than rows[r].value, or equal to it at
// an index below end_of_ties.
struct QuatrainCount {
  struct QuatrainSampleInput input;  // logits, stride, num_rows, num_drawable
  const struct QuatrainCountBefore* rows;  // [num_rows]
  int32_t* counts;                         // [num_rows]
};

#ifdef __cplusplus
}
#endif
