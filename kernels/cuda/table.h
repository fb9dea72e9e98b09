#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/cuda/table_attention.h"
#include "kernels/cuda/table_sampling.h"

// The device library's one door: a C table of launchers and of the device's
// runtime. Two libraries have it, built from the same kernel sources:
// libquatrain_cuda (nvcc) and the one that runs every CUDA thread on the CPU
// (kernels/emu), which tests use. Callers know neither CUDA nor which one it
// is.
//
// Holds for all entries:
//  - an int result is 0, or a QuatrainCudaError; message() then says what, for
//    the calling thread, until its next call;
//  - pointers named in operands point to memory of malloc() on the current
//    device, unless said otherwise; outputs do not overlap inputs;
//  - operations enqueue work on `stream` and return; a fault on the device is
//    returned by a later call that waits;
//  - shapes were checked by the caller: an impossible one is a bug and is
//    answered by kQuatrainBadArgument;
//  - f32 activations are row-major, [T, width], rows contiguous, 16-byte
//    aligned.
//
// Every operation is exact, that is, it gives the bits of docs/numerics.md, but
// for dequant_product(), half_product() and attend_mma(), which round
// differently.

#ifdef __cplusplus
extern "C" {
#endif

enum QuatrainCudaError {
  kQuatrainOk = 0,
  kQuatrainBadArgument = 1,
  kQuatrainOutOfMemory = 2,
  kQuatrainFault = 3,  // a kernel failed; the context is lost
  kQuatrainNotSupported = 4,
};

enum QuatrainDType {
  kQuatrainF16 = 0,
  kQuatrainBF16 = 1,
  kQuatrainF32 = 2,
  kQuatrainInt8 = 3,  // KV cache only: with one f32 scale per token and head
  kQuatrainFp8 = 4,   // KV cache only: e4m3
};

typedef void* QuatrainStream;  // NULL: the default stream
typedef void* QuatrainEvent;
typedef void* QuatrainGraph;

struct QuatrainDeviceInfo {
  char name[256];
  int compute_capability;  // 80, 86, 89, 90
  int num_sms;
  size_t total_bytes;
  size_t free_bytes;
  size_t l2_bytes;
  int clock_khz;
};

// --- Weights -----------------------------------------------------------------

// The blocks of k of a linear (LogicalPart::block_ends): ends relative to the
// rank's first k, ascending, at most 128 apart. `ends` is host memory.
struct QuatrainBlocks {
  const int32_t* ends;
  int count;
};

// What a list of blocks says about the part and its activations.
struct QuatrainLayout {
  size_t table_bytes;  // of the table on the device
  int64_t tile_bytes;  // of 16 outputs (int4) or 32 (dense)
  int num_pairs;       // of digits of a token: 64 * num_digits bytes each
};

// A packed int4 part: kernels/cuda/int4_record.h.
struct QuatrainInt4 {
  const void* tiles;
  const void* blocks;  // device table, see block_table()
  int rows;            // outputs; of gate and up together
  int cols;            // K
  int num_blocks;
  int num_pairs;       // digit pairs of a token, see block_table()
  int64_t tile_bytes;  // see block_table()
  int scale_dtype;     // kQuatrainF16, kQuatrainBF16, kQuatrainF32
  float max_scale;     // over all outputs and blocks
};

// One slab of logical weights, as WeightReader::ReadInt4 gives it: outputs
// [row_begin, row_end) of blocks [first_block, last_block), inputs outermost.
struct QuatrainPackInt4 {
  struct QuatrainInt4 linear;
  void* tiles;  // of `linear`, writable
  int row_begin, row_end;
  int first_block, last_block;
  int first_k;       // of first_block
  const uint8_t* q;  // [k of those blocks][rows of the slab], 0..15
  const uint8_t* z;  // [blocks of the slab][rows of the slab], 0..15
  const float* s;    // the same shape, finite
  // How row r of the slab's part lies in the tiles: 0 = row r; 1 = r is a row
  // of gate, 2 = of up: gate i and up i lie in one tile, 8 rows apart. With 1
  // and 2, row_begin and row_end count within gate or up.
  int interleave;
};

// Dense weights of one dtype, packed from row-major [rows, cols].
struct QuatrainDense {
  const void* tiles;
  const void* blocks;  // device table, see block_table()
  int rows;
  int cols;
  int num_blocks;
  int64_t tile_bytes;  // see block_table()
  int dtype;           // kQuatrainF16, kQuatrainBF16, kQuatrainF32
};

// --- Products ----------------------------------------------------------------

enum QuatrainOutput {
  kQuatrainStore = 0,    // f32 [T, out_stride]: y + bias
  kQuatrainGated = 1,    // f32 [T, out_stride]: silu(gate) * up, rows / 2 wide
  kQuatrainPartial = 2,  // i64 [T, out_stride]: partial sums, no bias
};

// Activations as integers, made by digits().
struct QuatrainDigits {
  int8_t* digits;  // [T][pairs][num_digits][64], int4_record.h
  struct QuatrainDigitBlock* blocks;  // [T][num_blocks]
  int32_t* states;                    // [T]: QuatrainRowState
  int num_digits;                     // 2, or 1 for --activations int8
};

struct QuatrainDigitBlock {
  float a;      // x is about a * xi
  int32_t sum;  // of xi
};

enum QuatrainRowState {
  kQuatrainRowSmall = 0,      // no contribution can reach 2^16
  kQuatrainRowChecked = 1,    // every contribution must be checked
  kQuatrainRowNotFinite = 2,  // the row is marked
};

struct QuatrainMakeDigits {
  const float* x;  // [num_tokens, x_stride]
  int64_t x_stride;
  const int32_t* x_marks;    // [num_tokens] or NULL: a row that is not 0 is NaN
  const float* norm_weight;  // [cols] or NULL: RMS norm first
  float norm_eps;
  struct QuatrainInt4 linear;  // whose blocks and max_scale count
  int num_tokens;
  struct QuatrainDigits out;
  int32_t* marks;  // [num_tokens] or NULL: set to 1 or 0, as a start
                   // for the product's
};

// out = f(x * linear). Marks: `marks[t]` becomes 1 where a contribution does
// not fit; digits() has set it to 1 where the row is not finite and to 0
// elsewhere. Rows of `out` whose mark is 1 are unspecified: whoever reads them
// next takes the marks too.
struct QuatrainProduct {
  struct QuatrainInt4 linear;
  struct QuatrainDigits x;
  int num_tokens;
  int output;         // QuatrainOutput
  const float* bias;  // [rows], as the tiles lie; or NULL
  void* out;
  int64_t out_stride;  // in elements
  int32_t* marks;      // [num_tokens]
  int kernel;          // QuatrainProductKernel
  // Where the kernel for any number of tokens may let blocks of threads share
  // the k of the same outputs, which else leave some of the device idle:
  // product_scratch_bytes(), 256-byte aligned, 0 before its first use. Products
  // that follow each other on a stream may have the same, and nobody else: they
  // leave zeros that the next one needs. NULL: none.
  void* scratch;
};

enum QuatrainProductKernel {
  kQuatrainFewRows = 0,     // at most 16 tokens
  kQuatrainMediumRows = 1,  // any number
};

// Digits and product in one kernel, for up to 4 tokens (8 with one digit) whose
// digits fit in shared memory: fused_product_fits(). `product.x` needs only
// num_digits; product.marks must be 0 or 1 before.
struct QuatrainFusedProduct {
  const float* x;  // [num_tokens, x_stride]
  int64_t x_stride;
  const int32_t* x_marks;    // [num_tokens] or NULL
  const float* norm_weight;  // [cols] or NULL: RMS norm first
  float norm_eps;
  struct QuatrainProduct product;
};

// Products of the default mode, which round differently: activations are f16
// (bf16 where the scales are).
//
// dequant_product(), for long prompts: so are weights, by the library cublasLt.
// kQuatrainNotSupported where that is not installed. The first call for a shape
// and number of tokens asks the library how: not while a stream is captured.
//
// half_product(), for less: weights stay exact; no library.
struct QuatrainDequantProduct {
  struct QuatrainInt4 linear;
  const float* x;  // [num_tokens, x_stride]
  int64_t x_stride;
  const int32_t* x_marks;    // [num_tokens] or NULL
  const float* norm_weight;  // [cols] or NULL: RMS norm first
  float norm_eps;
  int num_tokens;
  int output;         // QuatrainOutput
  const float* bias;  // as the tiles lie; or NULL
  void* out;
  int64_t out_stride;
  int32_t* marks;  // [num_tokens]: set
  void* scratch;   // 256-byte aligned
  // At least dequant_scratch_bytes(), half_scratch_bytes().
  int64_t scratch_bytes;
};

struct QuatrainDenseProduct {
  struct QuatrainDense linear;
  const float* x;  // [num_tokens, x_stride]
  int64_t x_stride;
  const int32_t* x_marks;  // [num_tokens] or NULL
  int num_tokens;
  int output;  // kQuatrainStore or kQuatrainPartial
  const float* bias;
  void* out;
  int64_t out_stride;
  int32_t* marks;  // [num_tokens], must be 0 or 1 before
};

// --- Rows --------------------------------------------------------------------

struct QuatrainEmbed {
  const void* table;  // row-major [rows, cols]
  int dtype;
  int first_id;  // of the table's first row
  int rows;
  int cols;
  const int32_t* token_ids;  // [num_tokens]
  int num_tokens;
  float* out;  // [num_tokens, cols]; +0 for ids outside the table
};

// The same from a packed dense linear (tied weights).
struct QuatrainEmbedTied {
  struct QuatrainDense table;
  int first_id;
  const int32_t* token_ids;
  int num_tokens;
  float* out;
};

struct QuatrainRmsNorm {
  const float* x;
  int64_t x_stride;
  const int32_t* rows;  // [num_rows]: which rows of x, or NULL: 0, 1, 2, ...
  const float* weight;  // [cols]
  float eps;
  int cols;
  int num_rows;
  float* out;  // [num_rows, cols]
};

// residual += f32(sum) + bias; column `cols` of `partial` is the mark.
struct QuatrainReduceAdd {
  const int64_t* partial;  // [num_tokens, cols + 1]
  const float* bias;       // [cols] or NULL
  int cols;
  int num_tokens;
  float* residual;  // [num_tokens, cols]
};

// out = silu(gate) * up from two plain outputs side by side.
struct QuatrainGate {
  const float* gate_up;  // [num_tokens, 2 * cols]
  const int32_t* marks;  // [num_tokens]
  int cols;
  int num_tokens;
  float* out;  // [num_tokens, cols]
};

// Writes the marks of a partial product into its last column, which its
// kernels leave alone.
struct QuatrainStoreMarks {
  const int32_t* marks;
  int64_t* partial;  // [num_tokens, stride]
  int64_t stride;
  int num_tokens;
};

struct QuatrainCudaV1 {
  uint32_t size;  // sizeof(struct QuatrainCudaV1) of the library
  const char* build_id;
  int is_emulation;  // 1: runs on the CPU

  // Of this thread's last call that failed.
  const char* (*message)(void);

  // The runtime.
  int (*num_devices)(int* count);
  int (*set_device)(int device);
  int (*device_info)(int device, struct QuatrainDeviceInfo* info);
  int (*malloc)(size_t bytes, void** out);
  int (*free)(void* data);
  // Host memory that copies do not wait for.
  int (*malloc_pinned)(size_t bytes, void** out);
  int (*free_pinned)(void* data);
  // Between host and device in any direction.
  int (*copy)(void* to, const void* from, size_t bytes, QuatrainStream stream);
  int (*fill)(void* to, int byte, size_t bytes, QuatrainStream stream);
  int (*stream_create)(QuatrainStream* out);
  int (*stream_destroy)(QuatrainStream stream);
  int (*stream_synchronize)(QuatrainStream stream);
  int (*event_create)(QuatrainEvent* out);
  int (*event_destroy)(QuatrainEvent event);
  int (*event_record)(QuatrainEvent event, QuatrainStream stream);
  int (*event_wait)(QuatrainEvent event, QuatrainStream stream);
  int (*event_synchronize)(QuatrainEvent event);
  int (*event_elapsed_ms)(QuatrainEvent begin, QuatrainEvent end, float* ms);
  int (*capture_begin)(QuatrainStream stream);
  int (*capture_end)(QuatrainStream stream, QuatrainGraph* out);
  int (*graph_launch)(QuatrainGraph graph, QuatrainStream stream);
  int (*graph_destroy)(QuatrainGraph graph);

  // Weights.
  // Lays out a list of blocks: writes count + 1 entries (int4_record.h's
  // KBlock) to `table`, host memory, for the device; and the sizes that follow.
  int (*block_table)(const struct QuatrainBlocks* blocks, int is_int4,
                     int dtype, void* table, struct QuatrainLayout* layout);
  int (*pack_int4)(const struct QuatrainPackInt4* op, QuatrainStream stream);
  // rows [row_begin, row_end) from row-major `from`.
  int (*pack_dense)(const struct QuatrainDense* linear, void* tiles,
                    const void* from, int row_begin, int row_end,
                    QuatrainStream stream);

  // Operations.
  int (*digits)(const struct QuatrainMakeDigits* op, QuatrainStream stream);
  int (*product)(const struct QuatrainProduct* op, QuatrainStream stream);
  int64_t (*product_scratch_bytes)(int num_sms, int num_digits);
  int (*fused_product_fits)(int num_tokens, int num_pairs, int num_blocks,
                            int num_digits);
  int (*fused_product)(const struct QuatrainFusedProduct* op,
                       QuatrainStream stream);
  int64_t (*dequant_scratch_bytes)(int num_tokens, int rows, int num_pairs);
  int (*dequant_product)(const struct QuatrainDequantProduct* op,
                         QuatrainStream stream);
  int64_t (*half_scratch_bytes)(int num_tokens, int num_pairs, int num_blocks);
  int (*half_product)(const struct QuatrainDequantProduct* op,
                      QuatrainStream stream);
  int (*dense_product)(const struct QuatrainDenseProduct* op,
                       QuatrainStream stream);
  int (*store_marks)(const struct QuatrainStoreMarks* op,
                     QuatrainStream stream);
  int (*embed)(const struct QuatrainEmbed* op, QuatrainStream stream);
  int (*embed_tied)(const struct QuatrainEmbedTied* op, QuatrainStream stream);
  int (*rms_norm)(const struct QuatrainRmsNorm* op, QuatrainStream stream);
  int (*reduce_add)(const struct QuatrainReduceAdd* op, QuatrainStream stream);
  int (*gate)(const struct QuatrainGate* op, QuatrainStream stream);

  // Attention (table_attention.h).
  int (*rope_table)(const struct QuatrainRopeTable* op, QuatrainStream stream);
  int (*store_kv)(const struct QuatrainStoreKv* op, QuatrainStream stream);
  int (*attend_bytes)(const struct QuatrainAttendShape* shape, size_t* bytes);
  int (*attend_work)(const struct QuatrainAttendWork* op,
                     QuatrainStream stream);
  int (*attend)(const struct QuatrainAttend* op, QuatrainStream stream);
  // attend() of the default mode, on tensor cores: other bits. Caches of f16,
  // bf16, int8 and fp8, head_dim 64, 80, 96, 128, 256; else
  // kQuatrainBadArgument.
  int (*attend_mma)(const struct QuatrainAttend* op, QuatrainStream stream);

  // Sampling (table_sampling.h).
  int (*sample_scratch_bytes)(int num_ids, size_t* bytes);  // of one row
  int (*transform)(const struct QuatrainTransform* op, QuatrainStream stream);
  int (*sample)(const struct QuatrainSample* op, QuatrainStream stream);
  int (*sample_part)(const struct QuatrainSamplePart* op,
                     QuatrainStream stream);
  int (*count_before)(const struct QuatrainCount* op, QuatrainStream stream);
};

const struct QuatrainCudaV1* quatrain_cuda_v1(void);

#ifdef __cplusplus
}
#endif
