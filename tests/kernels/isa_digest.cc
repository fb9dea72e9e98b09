// Prints a digest of every kernel's output for one instruction set, from seeded
// data. Needs nothing but the kernels, so that it can be compiled for another
// machine: scripts/check_neon.sh compares NEON under an emulator with AVX2,
// which the unit tests compare with the reference.
//
//   isa_digest avx2|avx512|avx512vnni|neon

#include <cmath>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/cpu/activations.h"
#include "kernels/cpu/attention_kernels.h"
#include "kernels/cpu/cpu_row_kernels.h"
#include "kernels/cpu/dense_matmul.h"
#include "kernels/cpu/int4_matmul.h"
#include "kernels/exact_sum.h"

namespace quatrain {
namespace {

uint64_t state = 1;

// The same on every machine.
uint32_t Next() {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(state >> 33);
}
float NextFloat() {
  return (static_cast<float>(Next() & 0xffffff) - 0x800000) * 0x1p-22f;
}
std::vector<float> Floats(size_t n) {
  std::vector<float> values(n);
  for (float& value : values) value = NextFloat();
  return values;
}

class Digest {
 public:
  template <typename T>
  void Add(std::span<const T> values) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
    for (size_t i = 0; i < values.size_bytes(); ++i)
      hash_ = (hash_ ^ bytes[i]) * 0x100000001b3u;
  }
  template <typename T>
  void AddValue(T value) {
    Add(std::span<const T>(&value, 1));
  }
  void Print(const char* name) const {
    std::printf("%-12s %016llx\n", name,
                static_cast<unsigned long long>(hash_));
  }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

std::vector<int> Ends(int cols, int group) {
  std::vector<int> ends;
  for (int k = group; k < cols; k += group) ends.push_back(k);
  ends.push_back(cols);
  return ends;
}

// Nibbles at random, zeros below 16 and scales that are finite.
std::vector<std::byte> RandomInt4Tile(const BlockList& list) {
  std::vector<std::byte> tile;
  const auto append = [&](const auto& value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    tile.insert(tile.end(), bytes, bytes + sizeof(value));
  };
  for (int b = 0; b < list.num_blocks(); ++b) {
    for (int i = 0; b % kBlocksPerHeader == 0 && i < kHeaderLanes; ++i)
      append(static_cast<uint8_t>(Next() & 15));
    for (int i = 0; b % kBlocksPerHeader == 0 && i < kHeaderLanes; ++i)
      append(NextFloat() * 0.01f);
    for (int i = 0; i < list.blocks[b].groups * kTileRows; ++i)
      append(Next() * 2 + (Next() & 1));
  }
  return tile;
}

void DigestInt4(Isa isa) {
  Digest digest;
  for (const int group : {128, 100, 32, 5}) {
    const BlockList list(Ends(391, group));
    const std::vector<std::byte> tile = RandomInt4Tile(list);
    const int blocks = list.num_blocks();
    std::vector<int16_t> digits(kRowGroup * list.num_digits);
    std::vector<float> scales(kRowGroup * blocks);
    std::vector<int32_t> sums(kRowGroup * blocks);
    for (int r = 0; r < kRowGroup; ++r) {
      std::vector<float> x = Floats(391);
      x[r * 40] = r % 3 == 0 ? 4e4f : 1e-41f;
      const RowRange range = ActivationKernelsFor(isa).digits(
          x.data(), list, kMaxDigits, &digits[r * list.num_digits],
          &scales[r * blocks], &sums[r * blocks]);
      digest.AddValue(range.max_abs);
    }
    digest.Add(std::span<const int16_t>(digits));
    digest.Add(std::span<const int32_t>(sums));
    if (const auto arrange = Int4KernelsFor(isa).arrange; arrange != nullptr)
      arrange(digits.data(), static_cast<int>(digits.size()));
    const DigitRows x{digits.data(), list.num_digits, scales.data(),
                      sums.data(), blocks};
    for (int rows = 1; rows <= kRowGroup; ++rows) {
      for (const int check : {0, 1}) {
        int64_t out[kRowGroup * kTileRows] = {};
        digest.AddValue(Int4KernelsFor(isa).tile[rows - 1][check](
            {tile.data(), DType::kF32}, list, x, out));
        digest.Add(std::span<const int64_t>(out));
      }
    }
  }
  digest.Print("int4");
}

void DigestDense(Isa isa) {
  Digest digest;
  const int cols = 300;
  const BlockList list(Ends(cols, 128));
  const std::vector<float> x = Floats(kRowGroup * cols);
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
    std::vector<float> weights = Floats(cols * kTileRows);
    std::vector<uint16_t> halves;
    for (const float w : weights)
      halves.push_back(dtype == DType::kF16 ? F32ToF16(w) : F32ToBF16(w));
    const auto* tile = dtype == DType::kF32
                           ? reinterpret_cast<std::byte*>(weights.data())
                           : reinterpret_cast<std::byte*>(halves.data());
    for (int rows = 1; rows <= kRowGroup; ++rows) {
      int64_t out[kRowGroup * kTileRows] = {};
      digest.AddValue(DenseKernelsFor(isa).Of(dtype)[rows - 1](
          tile, list, x.data(), cols, out));
      digest.Add(std::span<const int64_t>(out));
    }
  }
  digest.Print("dense");
}

void DigestActivations(Isa isa) {
  Digest digest;
  for (const int n : {1, 37, 256, 700}) {
    const std::vector<float> x = Floats(n), w = Floats(n);
    std::vector<float> y(n);
    ActivationKernelsFor(isa).rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
    digest.Add(std::span<const float>(y));
    std::vector<float> wide = x;
    for (float& value : wide) value *= 60.0f;
    ActivationKernelsFor(isa).gate(wide.data(), w.data(), n, y.data());
    digest.Add(std::span<const float>(y));
  }
  digest.Print("activations");
}

// 1,070 keys in blocks of 16, 9 rows that see parts of them.
void DigestAttention(Isa isa, DType dtype, int dim) {
  Digest digest;
  const AttentionKernels& kernels = AttentionKernelsFor(isa, dtype);
  const int num_keys = 1070, num_blocks = 67;
  std::vector<float> pool(size_t{2} * num_blocks * 16 * dim);
  const KvLayer kv{pool.data(), dtype, num_blocks, 16, 1, dim};
  std::vector<int32_t> table;
  for (int b = 0; b < num_blocks; ++b) table.push_back(num_blocks - 1 - b);
  const int half = dim / 2;
  const std::vector<float> cos = Floats(half), sin = Floats(half);
  for (int j = 0; j < num_keys; ++j) {
    std::vector<float> k = Floats(dim), v = Floats(dim);
    kernels.rotate(k.data(), half, cos.data(), sin.data());
    kernels.store(kv, table[j / 16] * 16 + j % 16, k.data(), v.data());
  }
  const ScratchShape shape(1, {}, 1);
  std::vector<std::byte> scratch(shape.thread_bytes + 64);
  AttentionTask task;
  task.kv = &kv;
  task.block_table = table.data();
  task.scale = 0.5f;
  task.end_segment = 3;
  task.num_rows = 9;
  const std::vector<float> q = Floats(9 * dim);
  std::vector<float> out(9 * dim);
  for (int r = 0; r < 9; ++r) {
    task.q[r] = q.data() + r * dim;
    task.begin_key[r] = r * 20;
    task.end_key[r] = num_keys - r * 110;
    task.out[r] = out.data() + r * dim;
    task.partial[r] = nullptr;
  }
  const size_t misaligned = reinterpret_cast<uintptr_t>(scratch.data()) % 64;
  task.scratch = scratch.data() + (64 - misaligned);
  kernels.attend(task);
  digest.Add(std::span<const float>(out));
  digest.Print(Name(dtype));
}

void DigestRows(Isa isa) {
  Digest digest;
  const RowKernelTable& kernels = RowKernelsFor(isa);
  for (const int n : {1, 100, 256}) {
    std::vector<float> logits = Floats(n);
    for (float& logit : logits) logit *= 5.0f;
    digest.AddValue(kernels.tile_log_sum_exp(logits, 0.7f));
    digest.AddValue(kernels.largest(logits));
    for (uint64_t seed = 0; seed < 20; ++seed)
      digest.AddValue(kernels.largest_perturbed(
          logits, 512, {.temperature = 1.3f, .seed = seed}, 5));
    digest.AddValue(kernels.count_before(logits, logits[n / 2], n / 2));
    digest.AddValue(kernels.all_finite(logits));
  }
  digest.Print("rows");
}

int Main(const std::string& name) {
  for (const Isa isa :
       {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kNeon}) {
    if (name != Name(isa)) continue;
    DigestInt4(isa);
    DigestDense(isa);
    DigestActivations(isa);
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32})
      for (const int dim : {20, 64, 128}) DigestAttention(isa, dtype, dim);
    DigestRows(isa);
    return 0;
  }
  std::fprintf(stderr, "isa_digest: \"%s\" is no instruction set of ours\n",
               name.c_str());
  return 2;
}

}  // namespace
}  // namespace quatrain

int main(int argc, char** argv) {
  return quatrain::Main(argc > 1 ? argv[1] : "");
}
