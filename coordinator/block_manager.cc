#include "coordinator/block_manager.h"

#include "base/check.h"

namespace quatrain {

Block::Block(const Block& other) : manager_(other.manager_), id_(other.id_) {
  if (manager_ != nullptr) manager_->AddShare(id_);
}

Block::~Block() {
  if (manager_ != nullptr) manager_->DropShare(id_);
}

int Block::num_shares() const {
  return manager_ == nullptr ? 0 : manager_->shares_[id_];
}

BlockManager::BlockManager(int num_blocks, int block_size)
    : block_size_(block_size), shares_(num_blocks, 0) {
  CHECK_GT(num_blocks, 0);
  CHECK_GT(block_size, 0);
  free_.reserve(num_blocks);
  for (int id = num_blocks - 1; id >= 0; --id) free_.push_back(id);
}

BlockManager::~BlockManager() { CHECK_EQ(num_used_blocks(), 0); }

Block BlockManager::Take() {
  CHECK(!free_.empty());
  const int32_t id = free_.back();
  free_.pop_back();
  CHECK_EQ(shares_[id], 0) << "block " << id;
  shares_[id] = 1;
  return Block(this, id);
}

void BlockManager::DropShare(int32_t id) {
  CHECK_GT(shares_[id], 0) << "block " << id;
  if (--shares_[id] == 0) free_.push_back(id);
}

}  // namespace quatrain
