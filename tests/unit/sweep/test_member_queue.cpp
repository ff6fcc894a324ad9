#include "sweep/member_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "support.hpp"

namespace headflow {
namespace {

using testing_support::world;

bool never() { return false; }

MemberResult result_of(std::int64_t member) { return MemberResult{.member = member}; }

TEST(DistributedMemberQueue, handsOutEachMemberOnceAndBringsEachResult) {
  std::vector<double> delivered;
  MemberQueue queue(world(), Communicator::self(), 50, [&](const MemberResult& result) {
    delivered.push_back(static_cast<double>(result.member));
  });
  // Rank 0 serves the others first: alone it might be through with all before they have asked.
  while (world().root() && world().size() > 1 && delivered.size() < 20) queue.serve();
  std::vector<double> mine;
  while (const auto member = queue.next(never)) {
    mine.push_back(static_cast<double>(*member));
    queue.deliver(result_of(*member));
  }
  queue.close(never);
  EXPECT_FALSE(queue.stopped());
  EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
  std::vector<double> all = world().all_gather(mine);
  std::sort(all.begin(), all.end());
  std::vector<double> expected(50);
  std::iota(expected.begin(), expected.end(), 0.0);
  EXPECT_EQ(all, expected);
  if (!world().root()) return;
  std::sort(delivered.begin(), delivered.end());
  EXPECT_EQ(delivered, expected);
}

TEST(DistributedMemberQueue, anyGroupStopsAll) {
  for (int who = 0; who < world().size(); ++who) {
    MemberQueue queue(world(), Communicator::self(), 1'000'000'000, [](const MemberResult&) {});
    if (world().rank() == who) {
      queue.stop();
      EXPECT_TRUE(queue.stopped()) << "before rank 0 has heard of it";
    }
    while (queue.next(never) && !queue.stopped()) queue.serve();
    queue.close(never);
    EXPECT_TRUE(queue.stopped());
  }
}

TEST(DistributedMemberQueue, aQuestionWhetherToStopLosesNoMember) {
  constexpr std::int64_t count = 20;
  double delivered = 0;
  MemberQueue queue(world(), Communicator::self(), count,
                    [&](const MemberResult&) { ++delivered; });
  // As a watch asks that looks just when the answer of rank 0 has come.
  const auto asks = [&] {
    for (int there = 0; there == 0;)
      MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, world().handle(), &there, MPI_STATUS_IGNORE);
    return queue.stopped();
  };
  while (world().root() && world().size() > 1 && delivered < count) queue.serve();
  while (const auto member = queue.next(asks)) queue.deliver(result_of(*member));
  queue.close(never);
  if (world().root()) {
    EXPECT_EQ(delivered, count);
  }
}

TEST(DistributedMemberQueue, aGroupThatWaitsForAMemberHearsThatItMustStop) {
  MemberQueue queue(world(), Communicator::self(), 1'000'000'000, [](const MemberResult&) {});
  const auto always = [] { return true; };
  if (world().size() == 1) queue.stop();
  if (world().root())
    while (!queue.stopped()) queue.serve();
  else
    while (queue.next(always)) {
    }
  queue.close(never);
  EXPECT_TRUE(queue.stopped());
}

}  // namespace
}  // namespace headflow
