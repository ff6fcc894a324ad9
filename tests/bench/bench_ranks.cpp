// The population loss on any number of ranks: what one right-hand side of the flow costs, and its
// memory. usage: mpirun -n RANKS bench_ranks SAMPLES TOKENS HEADS FEATURES
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>

#include "headflow/model/start.hpp"
#include "headflow/population/population_loss.hpp"
#include "ranks.hpp"

using namespace headflow;

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  if (argc != 5) {
    fmt::print(stderr, "usage: bench_ranks SAMPLES TOKENS HEADS FEATURES\n");
    return 2;
  }
  const Communicator comm = Communicator::world();
  const Shape shape{std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4])};
  const Sampling sampling{.samples = std::atoll(argv[1])};
  const Parameters parameters = noisy_start(shape, 0.5, 1.0, 1).parameters;
  std::unique_ptr<PopulationLoss> loss;
  const double drawing = seconds_of(comm, [&] {
    loss = std::make_unique<PopulationLoss>(
        comm, Model{shape, Softmax{}, canonical_spikes(shape.features, 2.0)}, sampling);
  });

  constexpr int batches = 10;
  constexpr int evaluations = 5;
  double best = std::numeric_limits<double>::infinity();
  for (int batch = 0; batch < batches; ++batch)
    best = std::min(best, seconds_of(comm, [&] {
                      for (int i = 0; i < evaluations; ++i) loss->evaluate(parameters);
                    }));
  const double memory = peak_gib(comm);
  if (comm.root())
    fmt::print(
        R"({{"ranks": {}, "seconds_to_draw": {:.4g}, "seconds_per_right_hand_side": {:.4g}, "peak_gib": {:.4g}}})"
        "\n",
        comm.size(), drawing, best / evaluations, memory);
}
