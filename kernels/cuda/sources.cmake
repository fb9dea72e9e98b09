# The kernel files, for every build of them: nvcc's, and the three that run on
# the CPU. Paths from the repository's root.
set(QUATRAIN_KERNEL_SOURCES
  kernels/cuda/dense.cu
  kernels/cuda/dequant_product.cu
  kernels/cuda/dequantize.cu
  kernels/cuda/digits.cu
  kernels/cuda/half_rows.cu
  kernels/cuda/int4_few_rows.cu
  kernels/cuda/int4_medium_rows.cu
  kernels/cuda/layout.cu
  kernels/cuda/pack.cu
  kernels/cuda/product.cu
  kernels/cuda/rows.cu
  kernels/cuda/table.cu)

# What judges them: definitions that need the standard library alone.
set(QUATRAIN_KERNEL_ORACLE
  base/check.cc
  kernels/candidates.cc
  kernels/math.cc
  kernels/reference_attention.cc
  kernels/reference_element.cc
  kernels/reference_project.cc
  kernels/row_kernels.cc)

# tests/kernels/cuda/NAME_test.cc
set(QUATRAIN_KERNEL_TESTS
  dequant
  product
  rows)
