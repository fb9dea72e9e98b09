#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace quatrain {

class BlockManager;

// A share of one KV block. Holding it is owning it: the last share that goes
// gives the block back. Copies are further shares. The manager must outlive it.
class Block {
 public:
  Block() = default;
  Block(const Block& other);
  Block(Block&& other) noexcept
      : manager_(std::exchange(other.manager_, nullptr)), id_(other.id_) {}
  Block& operator=(Block other) noexcept {
    std::swap(manager_, other.manager_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~Block();

  int32_t id() const { return id_; }  // in [0, num_blocks)
  int num_shares() const;

 private:
  friend class BlockManager;
  Block(BlockManager* manager, int32_t id) : manager_(manager), id_(id) {}

  BlockManager* manager_ = nullptr;
  int32_t id_ = -1;
};

// Which blocks of the group's KV pools are in use; every rank has the same.
// Not thread-safe; the step loop's thread owns it and all its blocks.
class BlockManager {
 public:
  BlockManager(int num_blocks, int block_size);
  ~BlockManager();  // every block must have come back
  BlockManager(const BlockManager&) = delete;
  BlockManager& operator=(const BlockManager&) = delete;

  // One free block; there must be one (num_free_blocks() > 0).
  Block Take();

  int num_blocks() const { return static_cast<int>(shares_.size()); }
  int num_free_blocks() const { return static_cast<int>(free_.size()); }
  int num_used_blocks() const { return num_blocks() - num_free_blocks(); }
  int block_size() const { return block_size_; }  // tokens

  // Blocks that hold `num_tokens` tokens.
  int BlocksFor(int num_tokens) const {
    return (num_tokens + block_size_ - 1) / block_size_;
  }

 private:
  friend class Block;
  void AddShare(int32_t id) { ++shares_[id]; }
  void DropShare(int32_t id);

  const int block_size_;
  std::vector<int> shares_;    // of each block, 0 = free
  std::vector<int32_t> free_;  // taken from the back
};

}  // namespace quatrain
