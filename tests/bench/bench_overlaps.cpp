// SGD by overlaps on any number of ranks: what a sequence costs in whole steps.
// usage: mpirun -n RANKS bench_overlaps DIMENSION TOKENS HEADS BATCH REPLICAS
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "headflow/model/start.hpp"
#include "ranks.hpp"
#include "sgd/sgd_engine.hpp"

int main(int argc, char** argv) {
  using namespace headflow;
  const MpiSession mpi(argc, argv);
  if (argc != 6) {
    fmt::print(stderr, "usage: bench_overlaps DIMENSION TOKENS HEADS BATCH REPLICAS\n");
    return 2;
  }
  const Communicator comm = Communicator::world();
  SgdProblem problem{
      .model = {{std::atoi(argv[2]), std::atoi(argv[3]), 2}, Softmax{}, flipping_spike(2, 2)},
      .dimension = std::atoll(argv[1]),
      .batch = std::atoll(argv[4])};
  problem.learning_rate = 1;
  problem.learning_rate *= 0.1 / problem.kappa();  // kappa = 0.1: stable at every D
  const std::int64_t replicas = std::atoll(argv[5]);
  const auto dimension = static_cast<double>(problem.dimension);
  const auto [start, spike_factor] = random_start(problem.model.shape, dimension, 1.0, false, 1);
  problem.model = Model(problem.model.shape, Softmax{}, problem.model.prior, spike_factor);
  const auto sgd = make_sgd_engine(comm, problem, 1, {start}, {0, replicas});

  const std::int64_t sequences = problem.batch * replicas;
  const std::int64_t steps = std::max<std::int64_t>(1, 20000 / sequences);
  std::int64_t reached = steps;
  sgd->advance(reached, [](const SgdProgress&) {});
  double best = std::numeric_limits<double>::infinity();
  double spent = 0;
  while (spent < 0.5) {
    reached += steps;
    const double seconds =
        seconds_of(comm, [&] { sgd->advance(reached, [](const SgdProgress&) {}); });
    spent += seconds;
    best = std::min(best, seconds);
  }
  if (comm.root())
    fmt::print(R"({{"ranks": {}, "microseconds_per_sequence": {:.4g}}})"
               "\n",
               comm.size(), 1e6 * best / static_cast<double>(steps * sequences));
}
