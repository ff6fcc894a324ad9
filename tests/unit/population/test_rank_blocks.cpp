// How often the loops over samples ask whether to stop.
#include "population/rank_blocks.hpp"

#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

// With work enough that each four blocks need a question: none between the first four, then one
// before each four more; every rank asks as often as the one that has the most blocks.
TEST(RankBlocks, askAtEvenDistances) {
  const Sampling sampling{.samples = 18 * block_size, .replicates = 1};
  RankBlocks blocks(Communicator::self(), sampling);
  ASSERT_EQ(blocks.range.end, 18);
  const double work = PacedControl::between / (4.5 * static_cast<double>(block_size));
  StopAt control = never_stop();
  blocks.for_each(work, control,
                  [&](std::int64_t block) { EXPECT_EQ(control.asked(), block / 4) << block; });
  EXPECT_EQ(control.asked(), 4);
  blocks.range = {3, 8};  // of another rank, which has fewer
  StopAt other = never_stop();
  blocks.for_each(work, other,
                  [&](std::int64_t block) { EXPECT_EQ(other.asked(), (block - 3) / 4) << block; });
  EXPECT_EQ(other.asked(), 4);
}

}  // namespace
}  // namespace headflow
