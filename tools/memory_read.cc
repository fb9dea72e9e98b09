#include "tools/memory_read.h"

#include <algorithm>
#include <chrono>

namespace quatrain {
namespace {

constexpr int64_t kStretchBytes = 16 << 20;

// Adds up all bytes, in steps of kUnroll vectors, fetching `ahead` bytes early.
using Vector = uint64_t __attribute__((vector_size(64), may_alias));

template <int kUnroll>
uint64_t ReadAll(std::span<const std::byte> bytes, int ahead) {
  Vector sums[kUnroll] = {};
  const auto* vectors = reinterpret_cast<const Vector*>(bytes.data());
  const size_t n = bytes.size() / sizeof(Vector) / kUnroll * kUnroll;
  for (size_t i = 0; i < n; i += kUnroll)
    for (int u = 0; u < kUnroll; ++u) {
      if (ahead > 0)
        __builtin_prefetch(bytes.data() + (i + u) * sizeof(Vector) + ahead);
      sums[u] += vectors[i + u];
    }
  uint64_t sum = 0;
  for (const Vector& v : sums)
    for (int i = 0; i < 8; ++i) sum += v[i];
  return sum;
}

struct ReadVariant {
  uint64_t (*read)(std::span<const std::byte>, int);
  int ahead;
};
constexpr ReadVariant kReadVariants[] = {
    {ReadAll<4>, 0}, {ReadAll<8>, 0}, {ReadAll<4>, 1024}, {ReadAll<4>, 4096}};

}  // namespace

double SteadySeconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

CallSeconds TimeCalls(size_t count, int64_t bytes_each, double seconds,
                      const std::function<void(size_t)>& body) {
  const int stretch =
      static_cast<int>(std::max<int64_t>(1, kStretchBytes / bytes_each));
  const double start = SteadySeconds();
  double best = 1e30;
  size_t next = 0;
  for (int stretches = 0; stretches < 2 || SteadySeconds() - start < seconds;
       ++stretches) {
    const double stretch_start = SteadySeconds();
    int calls = 0;
    while (calls < stretch) {
      body(next++ % count);
      ++calls;
      if (SteadySeconds() - stretch_start > seconds) break;
    }
    best = std::min(best, (SteadySeconds() - stretch_start) / calls);
  }
  return {best, (SteadySeconds() - start) / static_cast<double>(next)};
}

double BestSeconds(size_t count, int64_t bytes_each, double seconds,
                   const std::function<void(size_t)>& body) {
  return TimeCalls(count, bytes_each, seconds, body).best;
}

ReadSpeed TimeRead(std::span<const ReadPiece> pieces, ThreadPool& pool,
                   double seconds) {
  int64_t bytes_each = 0;
  for (const auto& part : pieces[0])
    bytes_each += static_cast<int64_t>(part.size());
  std::vector<uint64_t> sums(pool.threads() * 8);  // a cache line each
  ReadSpeed speed;
  for (const ReadVariant& variant : kReadVariants) {
    const auto read = [&](size_t i) {
      pool.Run([&](int thread) {
        sums[thread * 8] += variant.read(pieces[i][thread], variant.ahead);
      });
    };
    const CallSeconds time = TimeCalls(
        pieces.size(), bytes_each, seconds / std::size(kReadVariants), read);
    const auto bytes = static_cast<double>(bytes_each);
    speed.best = std::max(speed.best, bytes / time.best);
    speed.mean = std::max(speed.mean, bytes / time.mean);
  }
  for (volatile uint64_t sum : sums) (void)sum;  // the sums are needed
  return speed;
}

double BestReadBytesPerSecond(std::span<const ReadPiece> pieces,
                              ThreadPool& pool, double seconds) {
  return TimeRead(pieces, pool, seconds).best;
}

}  // namespace quatrain
