# The kernel files, for every build of them: nvcc's, and the three that run on
# the CPU. Paths from the repository's root.
set(QUATRAIN_KERNEL_SOURCES
  kernels/cuda/attention.cu
  kernels/cuda/attention_bf16.cu
  kernels/cuda/attention_f16.cu
  kernels/cuda/attention_f32.cu
  kernels/cuda/attention_fp8.cu
  kernels/cuda/attention_int8.cu
  kernels/cuda/attention_mma.cu
  kernels/cuda/attention_mma_bf16.cu
  kernels/cuda/attention_mma_f16.cu
  kernels/cuda/attention_mma_fp8.cu
  kernels/cuda/attention_mma_int8.cu
  kernels/cuda/attention_mma_plan.cc
  kernels/cuda/attention_plan.cc
  kernels/cuda/attention_work.cu
  kernels/cuda/dense.cu
  kernels/cuda/dequant_product.cu
  kernels/cuda/dequantize.cu
  kernels/cuda/digits.cu
  kernels/cuda/half_rows.cu
  kernels/cuda/int4_few_rows.cu
  kernels/cuda/int4_half_rows.cu
  kernels/cuda/int4_medium_plan.cc
  kernels/cuda/int4_medium_rows.cu
  kernels/cuda/kv_store.cu
  kernels/cuda/layout.cu
  kernels/cuda/pack.cu
  kernels/cuda/product.cu
  kernels/cuda/rows.cu
  kernels/cuda/sample_best.cu
  kernels/cuda/sample_draw.cu
  kernels/cuda/sample_launch.cu
  kernels/cuda/sample_rank.cu
  kernels/cuda/sample_scan.cu
  kernels/cuda/sample_select.cu
  kernels/cuda/sample_transform.cu
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
  attention
  attention_layers
  attention_mma
  conformance
  dequant
  half
  product
  rows
  sampling)

# Kernels of those tests.
set(QUATRAIN_KERNEL_TEST_KERNELS
  tests/kernels/cuda/conformance.cu)

# Built by nvcc so that an assembler sees every wrapper of ptx.h; no test
# launches them on a device.
set(QUATRAIN_KERNEL_ASSEMBLED
  tests/kernels/cuda/assembled.cu
  tests/kernels/simt/hopper.cu
  tests/kernels/simt/sound.cu
  tests/kernels/simt/tables.cu)

# bench_cuda_kernels
set(QUATRAIN_KERNEL_BENCH
  tests/kernels/cuda/bench/attention.cc
  tests/kernels/cuda/bench/bench.cc
  tests/kernels/cuda/bench/ceilings.cc
  tests/kernels/cuda/bench/cublas.cc
  tests/kernels/cuda/bench/head.cc
  tests/kernels/cuda/bench/int4.cc
  tests/kernels/cuda/bench/layers.cc
  tests/kernels/cuda/bench/linears.cc
  tests/kernels/cuda/bench/main.cc
  tests/kernels/cuda/bench/report.cc
  tests/kernels/cuda/bench/rows.cc
  tests/kernels/cuda/bench/sampling.cc)
