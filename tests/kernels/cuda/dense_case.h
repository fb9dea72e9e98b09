#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "tests/kernels/cuda/linear_case.h"

// A dense linear in host memory and packed on the device.
namespace quatrain {

// Row-major dense weights as stored.
struct HostDense {
  int rows, cols;
  QuatrainDType dtype;
  std::vector<int32_t> ends;
  std::vector<unsigned char> bytes;

  HostDense(int num_rows, int num_cols, QuatrainDType type,
            std::vector<int32_t> block_ends, Random& random)
      : rows(num_rows), cols(num_cols), dtype(type), ends(block_ends) {
    for (int i = 0; i < rows * cols; ++i) Append(random.Bell() * 0.1f);
  }

  void Append(float value) {
    unsigned char stored[4];
    const size_t size = dtype == kQuatrainF32 ? 4 : 2;
    const uint16_t narrow =
        dtype == kQuatrainF16 ? F32ToF16(value) : F32ToBF16(value);
    std::memcpy(stored, &narrow, 2);
    if (size == 4) std::memcpy(stored, &value, 4);
    bytes.insert(bytes.end(), stored, stored + size);
  }

  ReferencePart part() const {
    return {.rows = rows,
            .dense_dtype = ToDType(dtype),
            .block_ends = {ends.begin(), ends.end()},
            .dense = bytes.data()};
  }
};

struct DeviceDense {
  QuatrainLayout layout;
  DeviceArray<unsigned char> table, tiles;
  QuatrainDense view;

  explicit DeviceDense(const HostDense& host, int slab_rows = 1 << 30)
      : layout(LayOut(host, nullptr)),
        table(layout.table_bytes),
        tiles((host.rows + 31) / 32 * layout.tile_bytes) {
    std::vector<unsigned char> host_table(layout.table_bytes);
    LayOut(host, host_table.data());
    CudaOk(Cuda().copy(table.data(), host_table.data(), host_table.size(),
                       nullptr),
           "copy");
    DeviceArray<int>::Synchronize();
    view = {tiles.data(),
            table.data(),
            host.rows,
            host.cols,
            static_cast<int>(host.ends.size()),
            layout.tile_bytes,
            host.dtype};
    const size_t row_bytes = host.bytes.size() / host.rows;
    for (int row = 0; row < host.rows; row += slab_rows) {
      const int end = std::min(host.rows, row + slab_rows);
      const DeviceArray<unsigned char> from(
          std::span(host.bytes)
              .subspan(row * row_bytes, (end - row) * row_bytes));
      CudaOk(Cuda().pack_dense(&view, tiles.data(), from.data(), row, end,
                               nullptr),
             "pack_dense");
      DeviceArray<int>::Synchronize();
    }
  }

  static QuatrainLayout LayOut(const HostDense& host, void* to) {
    QuatrainLayout layout;
    const QuatrainBlocks blocks{host.ends.data(),
                                static_cast<int>(host.ends.size())};
    CudaOk(Cuda().block_table(&blocks, 0, host.dtype, to, &layout),
           "block_table");
    return layout;
  }
};

}  // namespace quatrain
