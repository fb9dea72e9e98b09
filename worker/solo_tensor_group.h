#pragma once

#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"
#include "kernels/tensor_group.h"
#include "worker/group_fault.h"

namespace quatrain {

// A group of one: nothing to sum, nobody to wait for.
class SoloTensorGroup final : public TensorGroup {
 public:
  SoloTensorGroup() : SoloTensorGroup(std::make_shared<GroupFault>()) {}
  explicit SoloTensorGroup(std::shared_ptr<GroupFault> fault)
      : fault_(std::move(fault)) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  void AllReduceSum(std::span<int64_t>) override {}
  void AllReduceSum(std::span<int32_t>) override {}
  void AllGather(std::span<const std::byte> mine, std::span<const size_t> sizes,
                 std::span<std::byte> all) override {
    CHECK(sizes.size() == 1 && sizes[0] == mine.size() &&
          all.size() == mine.size())
        << mine.size() << " bytes gathered to " << all.size();
    if (!mine.empty()) std::memcpy(all.data(), mine.data(), mine.size());
  }
  absl::Status status() const override { return fault_->status(); }

 private:
  // Shared with the rank's links: losing a link ends the group as well.
  const std::shared_ptr<GroupFault> fault_;
};

}  // namespace quatrain
