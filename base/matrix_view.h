#pragma once

#include <cstddef>

#include "base/dtype.h"

namespace quatrain {

// A matrix somewhere in one device's memory; does not own it. Row-major, rows
// contiguous. Activations have one row per token; a vector has one row.
struct MatrixView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int rows = 0;
  int cols = 0;
  int row_stride = 0;  // in elements, >= cols

  template <typename T>
  T* row(int r) const {
    return static_cast<T*>(data) + static_cast<size_t>(r) * row_stride;
  }
  // The first `n` rows.
  MatrixView top(int n) const {
    MatrixView view = *this;
    view.rows = n;
    return view;
  }
};

}  // namespace quatrain
