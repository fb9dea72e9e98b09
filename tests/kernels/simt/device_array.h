#pragma once

#include <vector>

#include "kernels/emu/engine.h"

// An array on the emulated device, with the host's copies spelled out.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size)
      : data_(static_cast<T*>(simt::device_malloc(size * sizeof(T)))),
        size_(size) {}
  explicit DeviceArray(const std::vector<T>& values)
      : DeviceArray(values.size()) {
    simt::memcpy_blocking(data_, values.data(), values.size() * sizeof(T));
  }
  ~DeviceArray() { simt::device_free(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  // Waits for the null stream.
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    simt::memcpy_blocking(values.data(), data_, size_ * sizeof(T));
    return values;
  }

 private:
  T* data_;
  size_t size_;
};
