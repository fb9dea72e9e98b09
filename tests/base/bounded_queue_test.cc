#include "base/bounded_queue.h"

#include <thread>

#include "gtest/gtest.h"

namespace quatrain {
namespace {

TEST(BoundedQueueTest, IsFirstInFirstOut) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.Push(1));
  EXPECT_TRUE(queue.Push(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.TryPop(), 2);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(BoundedQueueTest, RefusesMoreThanItsCapacity) {
  BoundedQueue<int> queue(1);
  int value = 1;
  EXPECT_TRUE(queue.TryPush(value));
  EXPECT_FALSE(queue.TryPush(value));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_TRUE(queue.TryPush(value));
}

TEST(BoundedQueueTest, ClosingDeliversWhatIsThereAndWakesWaiters) {
  BoundedQueue<int> queue(1);
  EXPECT_TRUE(queue.Push(1));
  std::thread producer([&] { EXPECT_FALSE(queue.Push(2)); });
  queue.Close();
  producer.join();
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, AWaitEndsAtItsTimeout) {
  BoundedQueue<int> queue(1);
  EXPECT_EQ(queue.PopFor(std::chrono::milliseconds(1)), std::nullopt);
}

TEST(BoundedQueueTest, CarriesEverythingBetweenThreads) {
  BoundedQueue<int> queue(3);
  int64_t sum = 0;
  std::thread consumer([&] {
    while (const std::optional<int> value = queue.Pop()) sum += *value;
  });
  for (int i = 1; i <= 10'000; ++i) queue.Push(i);
  queue.Close();
  consumer.join();
  EXPECT_EQ(sum, 50'005'000);
}

}  // namespace
}  // namespace quatrain
