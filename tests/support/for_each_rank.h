#pragma once

#include <barrier>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/tensor_group.h"
#include "worker/communicators.h"
#include "worker/thread_tensor_group.h"

namespace quatrain {

// Calls body(group) for every rank of a tensor group, each on its own thread.
inline void ForEachRank(int size,
                        const std::function<void(TensorGroup&)>& body) {
  const auto state = std::make_shared<ThreadGroupState>(size);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadTensorGroupOptions options;
      options.rank = rank;
      ThreadTensorGroup group(state, std::make_shared<GroupFault>(), options);
      body(group);
    });
  }
}

// What ranks talk through: the memory of one process, or, each in a process of
// its own, memory that these share, or Gloo.
enum class Transport { kThreads, kSharedMemory, kGloo };

inline std::string NameOf(Transport transport) {
  return transport == Transport::kThreads        ? "threads"
         : transport == Transport::kSharedMemory ? "shared_memory"
                                                 : "gloo";
}

inline const auto kAllTransports = testing::Values(
    Transport::kThreads, Transport::kSharedMemory, Transport::kGloo);

// The layout with these many ranks per stage. Rank r lives in process
// processes[r]; in a process of its own if there are none given.
inline GroupLayout LayoutOf(const std::vector<int>& stage_sizes,
                            const std::vector<int>& processes = {}) {
  GroupLayout layout;
  for (size_t stage = 0; stage < stage_sizes.size(); ++stage) {
    for (int tp_rank = 0; tp_rank < stage_sizes[stage]; ++tp_rank) {
      const int rank = layout.num_ranks();
      layout.places.push_back({static_cast<int>(stage), tp_rank,
                               processes.empty() ? rank : processes[rank]});
    }
  }
  return layout;
}

// As above, for that transport.
inline GroupLayout LayoutOf(const std::vector<int>& stage_sizes,
                            Transport transport) {
  if (transport != Transport::kThreads) return LayoutOf(stage_sizes);
  const int num_ranks =
      std::accumulate(stage_sizes.begin(), stage_sizes.end(), 0);
  return LayoutOf(stage_sizes, std::vector<int>(num_ranks, 0));
}

// Small sizes, and limits that a test can wait for.
inline CommunicatorOptions SmallCommunicators(
    Transport transport = Transport::kSharedMemory) {
  CommunicatorOptions options;
  options.share_memory = transport != Transport::kGloo;
  options.hidden_size = 8;
  options.max_tokens = 16;
  options.max_num_seqs = 4;
  options.form_timeout = std::chrono::milliseconds(5000);
  options.step_timeout = std::chrono::milliseconds(5000);
  options.stage_timeout = std::chrono::milliseconds(5000);
  return options;
}

// Forms communicators on a thread for each rank, as if every process of the
// layout were one (each has its hub; they share the memory of the store), and,
// when all have formed, calls body(rank, communicators).
inline void WithCommunicators(
    const GroupLayout& layout, const CommunicatorOptions& options,
    const std::function<void(int, Communicators&)>& body) {
  MemoryKeyValueStore store;
  std::vector<ProcessHub> hubs(layout.num_ranks());
  std::barrier formed(layout.num_ranks());
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < layout.num_ranks(); ++rank) {
    threads.emplace_back([&, rank] {
      auto made =
          FormCommunicators(layout, rank, &hubs[layout.places[rank].process],
                            &store, "test", options);
      if (!made.ok()) formed.arrive_and_drop();
      ASSERT_TRUE(made.ok()) << made.status();
      formed.arrive_and_wait();
      body(rank, *made);
    });
  }
}

}  // namespace quatrain
