#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/sample_key.cuh"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/table_sampling.h"

// What the kernels of one sampling tell each other about a row.
namespace quatrain::cuda {

constexpr int kVocabTile = 256;  // ids under one log-sum-exp; one warp's work
constexpr int kChunkTiles = 8;   // of a block that streams over the logits
constexpr int kChunk = kChunkTiles * kVocabTile;
constexpr int kStreamThreads = kChunkTiles * 32;
constexpr int kBins = 1024;  // of a histogram over keys

__host__ __device__ constexpr int NumTiles(int ids) {
  return (ids + kVocabTile - 1) / kVocabTile;
}
__host__ __device__ constexpr int NumChunks(int ids) {
  return (ids + kChunk - 1) / kChunk;
}

// What the kernels after the scan have to do for a row.
enum Stage : int32_t {
  kSelects = 1,  // find the threshold of what the filters keep
  kDraws = 2,    // draw among it
  kTops = 4,     // the best for top_logprobs
  kCounts = 8,   // the rank of the chosen
};

enum Ticket { kScanTicket, kSelectTicket, kDrawTicket, kNumTickets };

struct RowState {
  unsigned tickets[kNumTickets];  // 0 between launches
  int32_t stages;                 // Stage; with the next four set by the scan
  float raw_lse;                  // of all raw logits
  float lse;                      // of logit / temperature
  Key best;       // of logit / temperature, or what a row without filter drew
  Key raw_best;   // of the raw logits, where kTops
  Key threshold;  // set by the selection: what the filters keep is above
};

// A row's scratch: the state, then arrays.
class RowScratch {
 public:
  __device__ RowScratch(void* scratch, int row, int num_ids)
      : base_(static_cast<unsigned char*>(scratch) +
              static_cast<size_t>(row) * Bytes(num_ids)),
        tiles_(static_cast<size_t>(NumTiles(num_ids))) {}

  __device__ RowState& state() const {
    return *reinterpret_cast<RowState*>(base_);
  }
  // Zeros between launches.
  __device__ Key* masses() const { return At<Key>(kStateBytes); }
  __device__ uint32_t* counts() const {
    return At<uint32_t>(kStateBytes + kBins * sizeof(Key));
  }
  // The largest keys per tile. kNoKey: nothing to draw from. In tile_best()
  // kNotFiniteKey: the tile has a value that is not finite.
  __device__ Key* tile_best() const { return At<Key>(kFixedBytes); }
  __device__ Key* raw_tile_best() const {
    return At<Key>(kFixedBytes + tiles_ * sizeof(Key));
  }
  // The largest perturbed key per chunk, of a filtered row.
  __device__ Key* drawn() const {
    return At<Key>(kFixedBytes + 2 * tiles_ * sizeof(Key));
  }
  // Log-sum-exps per tile.
  __device__ float* raw_lse() const {
    return At<float>(kFixedBytes + 3 * tiles_ * sizeof(Key));
  }
  __device__ float* lse() const {
    return At<float>(kFixedBytes + tiles_ * (3 * sizeof(Key) + sizeof(float)));
  }

  __host__ __device__ static constexpr size_t Bytes(int num_ids) {
    return (kFixedBytes +
            static_cast<size_t>(NumTiles(num_ids)) *
                (3 * sizeof(Key) + 2 * sizeof(float)) +
            255) /
           256 * 256;
  }

 private:
  static constexpr size_t kStateBytes = 256;
  static constexpr size_t kFixedBytes =
      kStateBytes + kBins * (sizeof(Key) + sizeof(uint32_t));
  static_assert(sizeof(RowState) <= kStateBytes, "");

  template <typename T>
  __device__ T* At(size_t offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }

  unsigned char* base_;
  size_t tiles_;
};

}  // namespace quatrain::cuda
