// Packs logical weights into the records of int4_record.h.
//
// Shapes    int4: q [k of the slab][rows of the slab] u8; z, s [blocks][rows].
//           Slabs start at a multiple of 8 rows and end at one or at the last
//           row. dense: row-major [rows of the slab, cols].
// Launch    int4: one warp per block of k and 8 outputs, 8 warps a block of
//           threads. dense: one block of 256 threads per tile and block of k.
// Numerics  none: scales are stored in a dtype that holds them exactly.
// Roofline  once at load: q is read and half as much written.

#include "kernels/cuda/block_table.cuh"
#include "kernels/cuda/int4_record.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/simt.h"

namespace quatrain::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kUnitRows = 8;  // outputs of one warp: half a tile

struct Slab {
  const uint8_t* q;
  const uint8_t* z;
  const float* s;
  int first_k;  // of the slab
  int rows;     // of the slab
  int num_units;
};

// Eight nibbles: byte j of `low` and `high` k, beyond `end` 0.
__device__ uint32_t PackWord(const Slab& slab, int row, int low, int high,
                             int end) {
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) {
    const int k[2] = {low + j, high + j};
    for (int half = 0; half < 2; ++half) {
      if (k[half] >= end || row >= slab.rows) continue;
      const size_t from =
          static_cast<size_t>(k[half] - slab.first_k) * slab.rows + row;
      word |= static_cast<uint32_t>(slab.q[from]) << (8 * j + 4 * half);
    }
  }
  return word;
}

// The weights of outputs [row, row + 8) into one half of a tile's record.
__device__ void PackWeights(const Slab& slab, KBlock block, int row, int half,
                            uint32_t* record) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int end = block.begin + block.length;
  const int pairs = WholePairs(block.length);
  for (int p = 0; p < pairs; ++p) {
    const int k = block.begin + p * kPairK + 16 * t;
    uint32_t* words = record + (p * kPairBytes + lane * 16) / 4;
    for (int i = 0; i < 2; ++i)
      words[half + 2 * i] =
          PackWord(slab, row + g, k + 4 * i, k + 4 * i + 8, end);
  }
  if (pairs == NumPairs(block.length)) return;
  const int k = block.begin + pairs * kPairK + 8 * t;
  record[(pairs * kPairBytes + lane * 8) / 4 + half] =
      PackWord(slab, row + g, k, k + 4, end);
}

__device__ uint32_t NarrowScale(int dtype, float scale) {
  if (dtype == kQuatrainF16) return __half_as_ushort(__float2half_rn(scale));
  return __float_as_uint(scale) >> 16;  // bf16 that it holds exactly
}

// Lane g writes the header of output g of this half.
__device__ void PackHeader(const Slab& slab, int block, int row, int half,
                           int dtype, uint32_t* header) {
  const int g = threadIdx.x % 32;
  if (g >= kUnitRows) return;
  const bool inside = row + g < slab.rows;
  const size_t from = static_cast<size_t>(block) * slab.rows + row + g;
  const float scale = inside ? slab.s[from] : 0.0f;
  const uint32_t zero = inside ? slab.z[from] : 0;
  if (dtype == kQuatrainF32) {
    header[2 * (2 * g + half)] = __float_as_uint(scale);
    header[2 * (2 * g + half) + 1] = zero;
  } else {
    header[2 * g + half] = NarrowScale(dtype, scale) | zero << 16;
  }
}

__global__ void __launch_bounds__(kWarps * 32)
    PackInt4Kernel(Slab slab, BlockTable blocks, int first_block,
                   int first_unit, int interleave, int64_t tile_bytes,
                   int dtype, unsigned char* tiles) {
  const int unit = blockIdx.x * kWarps + threadIdx.x / 32;
  if (unit >= slab.num_units) return;
  const KBlock block = blocks[first_block + blockIdx.y];
  // Outputs of gate and of up each fill one half of every tile.
  const int place = first_unit + unit;
  const int tile = interleave == 0 ? place / 2 : place;
  const int half = interleave == 0 ? place % 2 : interleave - 1;
  unsigned char* record = tiles + tile * tile_bytes + block.offset;
  PackWeights(slab, block, unit * kUnitRows, half,
              reinterpret_cast<uint32_t*>(record));
  PackHeader(slab, blockIdx.y, unit * kUnitRows, half, dtype,
             reinterpret_cast<uint32_t*>(record + WeightBytes(block.length)));
}

template <typename T>
__global__ void __launch_bounds__(256)
    PackDenseKernel(const T* from, BlockTable blocks, int cols, int row_begin,
                    int row_end, int first_tile, int64_t tile_bytes,
                    unsigned char* tiles) {
  constexpr int kElements = kChunkBytes / static_cast<int>(sizeof(T));
  const int tile = first_tile + blockIdx.x;
  const KBlock block = blocks[blockIdx.y];
  T* to = reinterpret_cast<T*>(tiles + tile * tile_bytes + block.offset);
  const int size = NumChunks(block.length, sizeof(T)) * kDenseTileRows;
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    const int row = tile * kDenseTileRows + i % kDenseTileRows;
    for (int e = 0; e < kElements; ++e) {
      const int k = i / kDenseTileRows * kElements + e;
      const bool inside = row < row_end && k < block.length;
      const size_t at =
          static_cast<size_t>(row - row_begin) * cols + block.begin + k;
      to[i * kElements + e] = inside ? from[at] : T{};
    }
  }
}

}  // namespace

const char* LaunchPackInt4(const QuatrainPackInt4& op, simt::Stream stream) {
  const QuatrainInt4& linear = op.linear;
  const int part_rows = op.interleave == 0 ? linear.rows : linear.rows / 2;
  if (op.row_begin % kUnitRows != 0)
    return "a slab of int4 weights starts at a multiple of 8 rows";
  if (op.row_end % kUnitRows != 0 && op.row_end != part_rows)
    return "a slab of int4 weights ends at a multiple of 8 rows or at the last";
  if (op.row_begin >= op.row_end || op.first_block >= op.last_block)
    return nullptr;
  const BlockTable blocks = Int4Blocks(linear);
  const int rows = op.row_end - op.row_begin;
  int units = (rows + kUnitRows - 1) / kUnitRows;
  const int first_unit = op.row_begin / kUnitRows;
  // The second half of the last tile is written too.
  if (op.interleave == 0 && op.row_end == part_rows)
    units += (first_unit + units) % 2;
  const Slab slab{op.q, op.z, op.s, op.first_k, rows, units};
  simt::launch(
      PackInt4Kernel,
      dim3((units + kWarps - 1) / kWarps, op.last_block - op.first_block),
      dim3(kWarps * 32), 0, stream, slab, blocks, op.first_block, first_unit,
      op.interleave, linear.tile_bytes, linear.scale_dtype,
      static_cast<unsigned char*>(op.tiles));
  return nullptr;
}

const char* LaunchPackDense(const QuatrainDense& linear, void* tiles,
                            const void* from, int row_begin, int row_end,
                            simt::Stream stream) {
  if (row_begin % kDenseTileRows != 0)
    return "a slab of dense weights starts at a multiple of 32 rows";
  if (row_end % kDenseTileRows != 0 && row_end != linear.rows)
    return "a slab of dense weights ends at a multiple of 32 rows or at the "
           "last";
  if (row_begin >= row_end) return nullptr;
  const BlockTable blocks = DenseBlocks(linear);
  const int first_tile = row_begin / kDenseTileRows;
  const int num_tiles =
      (row_end - row_begin + kDenseTileRows - 1) / kDenseTileRows;
  const dim3 grid(num_tiles, linear.num_blocks);
  unsigned char* to = static_cast<unsigned char*>(tiles);
  if (linear.dtype == kQuatrainF32)
    simt::launch(PackDenseKernel<uint32_t>, grid, dim3(256), 0, stream,
                 static_cast<const uint32_t*>(from), blocks, linear.cols,
                 row_begin, row_end, first_tile, linear.tile_bytes, to);
  else
    simt::launch(PackDenseKernel<uint16_t>, grid, dim3(256), 0, stream,
                 static_cast<const uint16_t*>(from), blocks, linear.cols,
                 row_begin, row_end, first_tile, linear.tile_bytes, to);
  return nullptr;
}

}  // namespace quatrain::cuda
