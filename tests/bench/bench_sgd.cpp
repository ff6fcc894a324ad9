// Direct SGD on any number of ranks: what a sequence costs in a whole step, how much of that its
// random numbers alone, and the memory. The numbers are drawn in turn with the steps, because the
// machine may be shared.
// usage: mpirun -n RANKS bench_sgd DIMENSION TOKENS HEADS BATCH [exact|fast]
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "core/float_normals.hpp"
#include "headflow/core/local_range.hpp"
#include "headflow/model/start.hpp"
#include "ranks.hpp"
#include "sgd/direct_sgd.hpp"

namespace {

using namespace headflow;

/// The random numbers of a batch's tokens and nothing else: tile by tile as TokenKernel draws them,
/// into a piece that stays in cache.
class TokenNumbers {
 public:
  TokenNumbers(const Communicator& comm, const SgdProblem& problem)
      : layout_{problem.dimension, problem.model.shape.tokens},
        sequences_(local_range(comm.rank(), problem.batch, comm.size())),
        normals_(RandomStream(problem.seed, Purpose::tokens)),
        piece_(static_cast<std::size_t>(layout_.rows * TileLayout::stride)) {}

  void draw() {
    constexpr std::int64_t blocks = TileLayout::tile / FloatNormals::block;
    for (std::int64_t sequence = sequences_.begin; sequence < sequences_.end; ++sequence)
      for (std::int64_t t = 0; t < layout_.tiles(); ++t)
        for (int l = 0; l < layout_.rows; ++l)
          normals_.fill(static_cast<std::uint32_t>(sequence), static_cast<std::uint32_t>(l),
                        static_cast<std::uint32_t>(t * blocks),
                        static_cast<std::uint32_t>(layout_.width(t) / FloatNormals::block),
                        &piece_[static_cast<std::size_t>(l * TileLayout::stride)]);
  }

 private:
  TileLayout layout_;
  IndexRange sequences_;
  FloatNormals normals_;
  AlignedVector<float> piece_;
};

}  // namespace

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  const std::string_view reduction = argc == 6 ? argv[5] : "exact";
  if (argc < 5 || argc > 6 || (reduction != "exact" && reduction != "fast")) {
    fmt::print(stderr, "usage: bench_sgd DIMENSION TOKENS HEADS BATCH [exact|fast]\n");
    return 2;
  }
  const Communicator comm = Communicator::world();
  const double gib_at_start = peak_gib(comm);
  SgdProblem problem{
      .model = {{std::atoi(argv[2]), std::atoi(argv[3]), 2}, Softmax{}, flipping_spike(2, 2)},
      .dimension = std::atoll(argv[1]),
      .batch = std::atoll(argv[4]),
      .reduction = reduction == "exact" ? Reduction::exact : Reduction::fast};
  const auto dimension = static_cast<double>(problem.dimension);
  problem.learning_rate = 0.1 * static_cast<double>(problem.batch) / dimension;  // kappa = 0.1
  const auto [start, spike_factor] = random_start(problem.model.shape, dimension, 1.0, false, 1);
  problem.model = Model(problem.model.shape, Softmax{}, problem.model.prior, spike_factor);
  DirectSgd sgd(comm, problem, start, 1);
  SgdReplica replica = sgd.replica(0);
  TokenNumbers numbers(comm, problem);

  sgd.step(replica);  // touches all memory
  constexpr int fewest = 3;
  constexpr double enough = 0.3;  // seconds
  double best_step = std::numeric_limits<double>::infinity();
  double best_draw = best_step;
  double spent = 0;
  for (int round = 0; round < fewest || spent < enough; ++round) {
    const double step = seconds_of(comm, [&] { sgd.step(replica); });
    spent += step;
    best_step = std::min(best_step, step);
    best_draw = std::min(best_draw, seconds_of(comm, [&] { numbers.draw(); }));
  }
  sgd.parameters(replica);  // the overlaps at an output: they count in the memory
  const double peak = peak_gib(comm);
  const double microseconds = 1e6 / static_cast<double>(problem.batch);
  if (comm.root())
    fmt::print(
        R"({{"ranks": {}, "microseconds_per_sequence": {:.4g}, "microseconds_to_draw": {:.4g}, )"
        R"("gib_at_start": {:.4g}, "peak_gib": {:.4g}, "memory_gib": {:.4g}}})"
        "\n",
        comm.size(), best_step * microseconds, best_draw * microseconds, gib_at_start, peak,
        DirectSgd::memory_gib(problem, 1));
}
