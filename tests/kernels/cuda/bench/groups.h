#pragma once

#include "tests/kernels/cuda/bench/bench.h"
#include "tests/kernels/cuda/bench/cublas.h"

// One function per group of operations, each in a file of its name. A new group
// is a file, a line here and a source in the two builds.
namespace quatrain::bench {

void BenchInt4(Bench& bench, Cublas* cublas);
void BenchLayers(Bench& bench, Cublas* cublas);
void BenchAttention(Bench& bench, Cublas* cublas);
void BenchHead(Bench& bench, Cublas* cublas);
void BenchRows(Bench& bench, Cublas* cublas);
void BenchSampling(Bench& bench, Cublas* cublas);

struct Group {
  const char* name;
  void (*run)(Bench& bench, Cublas* cublas);  // cublas: null where it is not
};

inline constexpr Group kGroups[] = {
    {"int4", BenchInt4}, {"layers", BenchLayers}, {"attention", BenchAttention},
    {"head", BenchHead}, {"rows", BenchRows},     {"sampling", BenchSampling},
};

}  // namespace quatrain::bench
