#pragma once

#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "kernels/cuda/table.h"

// What the kernel tests share: memory of the device under test, which is
// whatever library the program was linked with.
namespace quatrain {

inline const QuatrainCudaV1& Cuda() { return *quatrain_cuda_v1(); }

// Ends the program: a fault leaves nothing to go on with.
inline void CudaOk(int error, const char* what) {
  if (error == kQuatrainOk) return;
  std::fprintf(stderr, "%s failed: %s\n", what, Cuda().message());
  std::fflush(stdout);
  std::_Exit(1);
}

inline const QuatrainDeviceInfo& Device() {
  static const QuatrainDeviceInfo device = [] {
    QuatrainDeviceInfo info;
    CudaOk(Cuda().device_info(0, &info), "device_info");
    return info;
  }();
  return device;
}

inline int NumSms() { return Device().num_sms; }

// An array on the device; starts as garbage, which the emulation makes NaN.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    void* data = nullptr;
    CudaOk(Cuda().malloc(bytes() > 0 ? bytes() : 1, &data), "malloc");
    data_ = static_cast<T*>(data);
  }
  explicit DeviceArray(std::span<const T> values) : DeviceArray(values.size()) {
    CudaOk(Cuda().copy(data_, values.data(), bytes(), nullptr), "copy");
    Synchronize();
  }
  explicit DeviceArray(const std::vector<T>& values)
      : DeviceArray(std::span<const T>(values)) {}
  DeviceArray(DeviceArray&& other) noexcept
      : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
  }
  DeviceArray& operator=(DeviceArray&&) = delete;
  ~DeviceArray() {
    if (data_ != nullptr) CudaOk(Cuda().free(data_), "free");
  }

  // Zeros instead of garbage.
  DeviceArray&& Cleared() && {
    CudaOk(Cuda().fill(data_, 0, bytes(), nullptr), "fill");
    return std::move(*this);
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

  std::vector<T> Download() const {
    std::vector<T> values(size_);
    CudaOk(Cuda().copy(values.data(), data_, bytes(), nullptr), "copy");
    Synchronize();
    return values;
  }

  static void Synchronize() {
    CudaOk(Cuda().stream_synchronize(nullptr), "stream_synchronize");
  }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// QuatrainProduct's, ready for its first use.
inline DeviceArray<unsigned char> ProductScratch(int num_digits) {
  const size_t bytes =
      static_cast<size_t>(Cuda().product_scratch_bytes(NumSms(), num_digits));
  DeviceArray<unsigned char> scratch =
      DeviceArray<unsigned char>(bytes).Cleared();
  DeviceArray<unsigned char>::Synchronize();  // before any other stream
  return scratch;
}

}  // namespace quatrain
