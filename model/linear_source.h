#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "model/awq.h"
#include "model/checkpoint.h"
#include "model/range.h"

namespace quatrain {

// A rank's rectangle, outputs `rows` x inputs `columns`, of one linear of the
// checkpoint, read as logical numbers piece by piece, so that packing streams
// and no second copy of the model exists. Refers to the checkpoint, which must
// outlive it. Const methods are thread-safe.
class LinearSlice {
 public:
  int num_rows() const { return rows_.size(); }     // outputs, n
  int num_cols() const { return columns_.size(); }  // inputs, k
  bool is_int4() const { return format_ != LinearFormat::kDense; }
  // F16, BF16 or F32: of the weight if dense, of the scales if int4.
  DType dtype() const { return dtype_; }
  int group_size() const { return group_size_; }  // inputs; int4 only

  // Ends of the k blocks of the exact sums, relative to this slice's first
  // input, ascending; the last is num_cols(). No block is wider than 128.
  std::span<const int> block_ends() const { return block_ends_; }
  int num_blocks() const { return static_cast<int>(block_ends_.size()); }

  // Some rows and blocks of the slice, inputs outermost, as the checkpoint has
  // them: q [inputs of the blocks][rows], z and s [blocks][rows], PER BLOCK,
  // copied from the group it lies in. The weight is (q - z) * s with q and z in
  // 0..15. InvalidArgument, naming the tensor, if a scale is not finite.
  // is_int4() only.
  absl::Status ReadInt4(Range rows, Range blocks, uint8_t* q, uint8_t* z,
                        float* s) const;

  // Rows [begin, end) as raw [rows][num_cols] of dtype(). Not is_int4() only.
  absl::Status ReadDense(int begin, int end, void* raw) const;

  // [num_rows], or empty if the linear has none.
  std::vector<float> Bias() const;

  // Says that the weight's pages will not be read again soon.
  void DropPages() const;

  // Bytes of the slice as the checkpoint stores it.
  int64_t stored_bytes() const;

 private:
  friend absl::StatusOr<LinearSlice> OpenLinear(const Checkpoint&,
                                                const std::string&, int, int,
                                                bool, Range, Range, int);

  absl::Status FindPacked(const Checkpoint& checkpoint,
                          const std::string& module);
  absl::Status FindScales(const Checkpoint& checkpoint,
                          const std::string& name);
  absl::Status FindBias(const Checkpoint& checkpoint, const std::string& module,
                        bool has_bias);
  // Of outputs [first, last) of the whole linear.
  absl::Status ReadScales(int group, int first, int last, float* out) const;

  LinearFormat format_ = LinearFormat::kDense;
  DType dtype_ = DType::kF16;       // of the dense weight, or the scales
  const Tensor* weight_ = nullptr;  // weight [N, K], or qweight [K, N/8]
  const Tensor* scales_ = nullptr;  // [K / group_size, N]
  const Tensor* zeros_ = nullptr;   // [K / group_size, N/8]; absent: 8
  const Tensor* bias_ = nullptr;    // [N]
  Range rows_, columns_;
  int n_ = 0, k_ = 0;  // of the whole linear
  int group_size_ = 0;
  std::vector<int> block_ends_;
};

// Opens `rows` x `columns` of linear `module` ("model.layers.0.mlp.down_proj"),
// which config.json says is [n, k] and has a bias or not. head_dim is given for
// o, whose blocks end at heads, and 0 elsewhere. Shapes, types and group size
// of its tensors are checked:
//   ....q_proj.qweight: shape [4096, 512], config.json implies [4096, 640]
// `columns` must begin and end where blocks do, or it is our bug.
absl::StatusOr<LinearSlice> OpenLinear(const Checkpoint& checkpoint,
                                       const std::string& module, int n, int k,
                                       bool has_bias, Range rows, Range columns,
                                       int head_dim);

// A whole vector (a norm's weight) of an expected length, as f32.
absl::StatusOr<std::vector<float>> ReadVector(const Checkpoint& checkpoint,
                                              const std::string& name,
                                              int length);

// Rows of a table [num_rows, num_columns] (the embedding) where they lie.
struct TableRows {
  const Tensor* tensor = nullptr;
  DType dtype = DType::kF16;
  std::span<const std::byte> bytes;  // [rows][num_columns], maybe not aligned
};
absl::StatusOr<TableRows> OpenTable(const Checkpoint& checkpoint,
                                    const std::string& name, int num_rows,
                                    int num_columns, Range rows);

}  // namespace quatrain
