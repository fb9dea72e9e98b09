#pragma once

#include <memory>
#include <string>

#include "tests/kernels/cuda/device.h"

// cuBLAS as the comparison: loaded while the program runs, since nothing of
// ours needs it.
namespace quatrain::bench {

class Cublas {
 public:
  // The library that the variable QUATRAIN_CUBLAS names, or the loader finds.
  // Null, after a line that says why, where there is none.
  static std::unique_ptr<Cublas> Open(QuatrainStream stream);

  ~Cublas();
  Cublas(const Cublas&) = delete;

  // y [m, n] = x [m, k] * w [n, k]^T, all f16 and row-major, sums in f32. May
  // be captured after it ran once for this shape.
  void Gemm(int m, int n, int k, const void* x, const void* w, void* y);

  const std::string& version() const { return version_; }

 private:
  struct Functions;

  Cublas(std::unique_ptr<Functions> functions, void* handle,
         QuatrainStream stream);

  std::unique_ptr<Functions> functions_;
  void* handle_;
  // Its own would be allocated while a graph is captured.
  DeviceArray<unsigned char> workspace_;
  std::string version_;
};

}  // namespace quatrain::bench
