#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "base/dtype.h"

namespace quatrain {

// Where a linear stands in the model. Follows from it: the form of the output
// (see Backend::Project) and how the backend may lay out the weights.
enum class LinearRole {
  kQkv,     // parts q, k, v; output stored
  kGateUp,  // parts gate, up; output act(gate) * up
  kO,       // row parallel; output a partial sum
  kDown,    // row parallel; output a partial sum
  kHead,    // logits; also readable by Embed when weights are tied
  kEmbed,   // read by Embed only
};

// Hands out the logical weights of one rectangle of a checkpoint's linear,
// piece by piece (a row is one output), so that packing streams from the mapped
// file and a second copy of the model never exists. Thread-safe.
class WeightReader {
 public:
  virtual ~WeightReader() = default;

  // Rows [begin, end) of the blocks [first_block, last_block) of
  // LogicalPart::block_ends, inputs outermost, as checkpoints have them.
  // q: [inputs of those blocks, rows], 0..15. z: [blocks, rows], 0..15.
  // s: [blocks, rows], finite. Zero and scale of a block are copied from the
  // group in which it lies.
  virtual absl::Status ReadInt4(int begin, int end, int first_block,
                                int last_block, uint8_t* q, uint8_t* z,
                                float* s) const = 0;

  // Rows [begin, end) in their stored dtype. out: [rows, cols].
  virtual absl::Status ReadDense(int begin, int end, void* out) const = 0;
};

// Some consecutive outputs of a linear that have one kind of weight.
struct LogicalPart {
  int rows = 0;
  bool is_int4 = false;
  DType dense_dtype = DType::kF16;  // where !is_int4: kF16, kBF16 or kF32
  DType scale_dtype = DType::kF32;  // where is_int4: holds every scale exactly
  // The blocks of k over which activations share one integer scale and whose
  // contributions are rounded once (docs/numerics.md). Ascending ends relative
  // to this rank's first k; the last is LogicalLinear::cols. Blocks start at
  // fixed absolute positions of the whole linear and are at most 128 long.
  std::vector<int> block_ends;
  const WeightReader* reader = nullptr;  // borrowed during PackLinear only
};

// One rank's linear as PackLinear takes it: [K] -> [N].
struct LogicalLinear {
  int cols = 0;  // K on this rank; 0 where the rank has no part of it
  std::vector<LogicalPart> parts;  // stacked in order; rows may be 0
  // [N] or empty. For kO and kDown the bias belongs to the Tail of ReduceAdd.
  std::vector<float> bias;
};

// Weights packed by one backend; nobody else looks inside.
class Linear {
 public:
  virtual ~Linear() = default;
  virtual int rows() const = 0;  // N, all parts
  virtual int cols() const = 0;  // K
};

}  // namespace quatrain
