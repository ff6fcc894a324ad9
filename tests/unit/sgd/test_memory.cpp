// How much memory SGD by overlaps says that it needs.
#include "sgd/overlap_sgd.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

// Two nodes of the tree for each sequence of a block and each replica of a pack, then one for each
// level above and each lane. A node is what a message brings of one replica more.
TEST(OverlapSgdMemory, isThatOfATree) {
  constexpr std::int64_t lanes = lane_count<double>;
  const auto problem = [](std::int64_t batch) {
    return SgdProblem{
        .model = {{4, 2, 2}, Softmax{}, flipping_spike(2, 2)}, .dimension = 1000, .batch = batch};
  };
  const auto bytes = [&](std::int64_t batch, std::int64_t replicas) {
    return OverlapSgd::bytes(problem(batch), replicas);
  };
  const double node = (OverlapSgd::messages(problem(100'000), 2, 2).bytes -
                       OverlapSgd::messages(problem(100'000), 1, 2).bytes) /
                      2;
  EXPECT_GT(node, 0);
  for (const std::int64_t replicas : {std::int64_t{1}, lanes, 3 * lanes}) {
    const auto pack = static_cast<double>(std::min(replicas, lanes));
    EXPECT_NEAR(bytes(64, replicas) - bytes(32, replicas), node * (2 * 32 * pack + lanes), 1e-6);
    EXPECT_NEAR(bytes(4096, replicas) - bytes(2048, replicas), node * lanes, 1e-6);
  }
}

}  // namespace
}  // namespace headflow
