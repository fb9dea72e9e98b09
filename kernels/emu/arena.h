#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/emu/place.h"
#include "kernels/emu/shadow.h"

namespace simt::emu {

inline constexpr size_t kArenaRedzone = 64;

// One resident block's shared memory: the dynamic part, then static objects in
// the order in which threads first meet them, a red zone after each.
class Arena {
 public:
  Arena();
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Everything is poison and unwritten again.
  void Reset(size_t dynamic_bytes);

  std::byte* data() const { return base_; }
  SharedShadow& shadow() { return shadow_; }
  size_t dynamic_bytes() const { return dynamic_bytes_; }
  bool Contains(const void* address) const {
    const auto* p = static_cast<const std::byte*>(address);
    return p >= base_ && p < base_ + kReserved;
  }
  // All of [address, address + bytes) belongs to one object.
  bool Accessible(const void* address, size_t bytes) const;

  void* Static(size_t bytes, size_t alignment, const void* tag, Place where);
  void Carve(const void* begin, size_t bytes, Place where);

 private:
  static constexpr size_t kReserved = 512 << 10;
  struct Object {
    size_t begin;
    size_t end;
    const void* tag;  // null: carved
  };
  void Close(size_t begin, size_t end);
  void Open(size_t begin, size_t end);

  std::byte* base_;
  SharedShadow shadow_{kReserved};
  size_t dynamic_bytes_ = 0;
  size_t used_ = 0;
  size_t static_bytes_ = 0;
  std::vector<Object> objects_;
};

}  // namespace simt::emu
