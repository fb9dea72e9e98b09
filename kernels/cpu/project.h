#pragma once

#include <functional>

#include "base/matrix_view.h"
#include "kernels/backend.h"
#include "kernels/cpu/activations.h"
#include "kernels/cpu/cpu_linear.h"
#include "kernels/cpu/dense_matmul.h"
#include "kernels/cpu/int4_matmul.h"
#include "kernels/cpu/int4_panel.h"
#include "kernels/cpu/row_plan.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace quatrain {

// All products of activations and a linear's packed parts: norm, digits,
// products, and what the role does with the sums. Blocking and threading; the
// inner loops are the kernel tables.
class Projector {
 public:
  // `one_digit`: activations of 8 bits instead of 16.
  Projector(Isa isa, bool one_digit, ThreadPool* pool)
      : num_digits_(one_digit ? 1 : 2),
        activations_(ActivationKernelsFor(isa)),
        int4_(Int4KernelsFor(isa)),
        panels_(PanelKernelsFor(isa)),
        dense_(DenseKernelsFor(isa)),
        costs_(RowCostsOf(isa, num_digits_)),
        pool_(*pool) {}

  // `row(i)` is row i of x, f32 [linear.cols()]. out has num_rows rows; its
  // meaning follows from the role, as Backend::Project says. norm may be null.
  void Run(int num_rows, const std::function<const float*(int)>& row,
           const Norm* norm, const CpuLinear& linear, const ScratchShape& shape,
           std::byte* scratch, MatrixView out) const;

 private:
  struct Chunk;
  // How many of `rows` rows the next chunk takes, and how it multiplies them.
  RowPlan Plan(const CpuLinear& linear, const ScratchShape& shape, int rows,
               int* count) const;
  void Prepare(Chunk& chunk, int list) const;
  void PrepareRow(Chunk& chunk, int list, int r, int thread) const;
  void MultiplyTiles(Chunk& chunk, int list, int thread) const;
  void MultiplyTile(Chunk& chunk, const CpuPart& part, int64_t tile,
                    int thread) const;
  void MultiplyPanel(Chunk& chunk, const CpuPart& part, int64_t tile,
                     int num_tiles, int thread) const;
  void StoreSums(Chunk& chunk, const CpuPart& part, int64_t tile, int row,
                 int count, const int64_t* sums) const;
  void Finish(Chunk& chunk) const;

  const int num_digits_;
  const ActivationKernels& activations_;
  const Int4Kernels& int4_;
  const PanelKernels* const panels_;  // null where there are none
  const DenseKernels& dense_;
  const RowCosts& costs_;
  ThreadPool& pool_;
};

}  // namespace quatrain
