#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quatrain {

// Chains `bytes` onto a 64-bit digest: equal chains have seen equal bytes, cut
// at the same places, and different ones differ but for one chance in 2^64. Not
// cryptographic: it finds ranks that diverge, not attackers. The same on every
// machine (bytes are read little-endian). A chain starts from 0.
//
// The digest of a rank after a plan is ChainDigest(previous, bytes of the
// serialized StepPlan); on the first stage then ChainDigest of that and of the
// plan's token ids, all chunks in order, each an int32 in little-endian.
uint64_t ChainDigest(uint64_t previous, std::span<const std::byte> bytes);

}  // namespace quatrain
