// Seconds until the loss of trained heads has a standard error of 1e-4 and 1e-5, drawing and
// evaluating, with Sobol points and with plain Monte Carlo, one rank: a Markdown table of 12 models
// and the median of the ratios.
// usage: bench_accuracy POWER
// Standard errors are measured with 32 replicates of 2^11, 2^13, .. 2^POWER points (they have an
// error of 13 %); for other numbers of points they follow the straight line through the two
// nearest ones in logarithms, beyond 2^POWER the last. Plain Monte Carlo's fall as the root of the
// number of points. POWER 19: 10 minutes.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "core/stopwatch.hpp"
#include "headflow/core/petsc.hpp"
#include "headflow/core/statistics.hpp"
#include "headflow/model/start.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/train/minimise.hpp"

using namespace headflow;

namespace {

constexpr int replicates = 32;
constexpr std::array<double, 2> wanted = {1e-4, 1e-5};

struct Measured {
  double error = 0;    ///< standard error of the mean over so many points
  double seconds = 0;  ///< for a point
};

Measured measure(const Communicator& comm, const Model& model, const Parameters& state,
                 SamplingMethod method, std::int64_t points) {
  std::vector<double> losses;
  double least = std::numeric_limits<double>::infinity();
  for (int r = 0; r < replicates; ++r) {
    const Stopwatch watch;
    PopulationLoss loss(comm, model,
                        {.samples = points,
                         .method = method,
                         .replicates = 1,
                         .first_replicate = r,
                         .seed = 2,
                         .memory_gib = 0});
    losses.push_back(loss.evaluate(state).loss);
    least = std::min(least, watch.seconds());
  }
  return {standard_error(losses) * std::sqrt(replicates), least / static_cast<double>(points)};
}

/// Points until the error is as small as that, from log2(points) and log(error).
double points_for(double error, const std::vector<double>& powers,
                  const std::vector<double>& logs) {
  std::size_t i = 1;
  while (i + 1 < logs.size() && logs[i] > std::log(error)) ++i;
  const double slope = (logs[i] - logs[i - 1]) / (powers[i] - powers[i - 1]);
  return std::exp2(powers[i] + (std::log(error) - logs[i]) / slope);
}

/// Their ratios of plain Monte Carlo's seconds to Sobol's.
std::array<double, 2> print_row(const Communicator& comm, const Model& model, int most) {
  PopulationLoss training(comm, model, {.samples = 65536, .replicates = 1});
  const Parameters state =
      minimise(training, noisy_start(model.shape, 0.3, 1, 1).parameters, {.most_evaluations = 400})
          .parameters;
  constexpr int few = 14;
  const Measured plain =
      measure(comm, model, state, SamplingMethod::monte_carlo, std::int64_t{1} << few);
  std::vector<double> powers, logs;
  Measured sobol;
  for (int power = 11; power <= most; power += 2) {
    sobol = measure(comm, model, state, SamplingMethod::sobol, std::int64_t{1} << power);
    powers.push_back(power);
    logs.push_back(std::log(sobol.error));
  }
  const auto [L, H, F] = model.shape;
  fmt::print("| {} | {}, {}, {} |", name_of(model.activation), L, H, F);
  std::array<double, 2> ratios{};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double ours = points_for(wanted[i], powers, logs) * sobol.seconds;
    const double theirs = std::exp2(few) * std::pow(plain.error / wanted[i], 2) * plain.seconds;
    ratios[i] = theirs / ours;
    fmt::print(" {:.2g} | {:.2g} | {:.0f} |", ours, theirs, ratios[i]);
  }
  fmt::print("\n");
  std::fflush(stdout);
  return ratios;
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return 0.5 * (x[(x.size() - 1) / 2] + x[x.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  if (argc != 2 || std::atoi(argv[1]) < 13) {
    fmt::print(stderr, "usage: bench_accuracy POWER, at least 13\n");
    return 2;
  }
  const PetscSession petsc;
  const Communicator comm = Communicator::world();
  fmt::print(
      "| activation | L, H, F | Sobol, s to 1e-4 | plain, s | ratio | Sobol, s to 1e-5 | "
      "plain, s | ratio |\n|---|---|---|---|---|---|---|---|\n");
  std::array<std::vector<double>, 2> ratios;
  for (const Shape& shape : {Shape{4, 2, 2}, Shape{10, 2, 2}, Shape{5, 4, 2}, Shape{5, 8, 3}})
    for (const Activation& activation :
         std::array<Activation, 3>{Softmax{}, SoftmaxOne{}, BayesSoftmax{}}) {
      const Prior prior = shape.features == 2 ? flipping_spike(2, 2) : canonical_spikes(3, 4);
      const auto found = print_row(comm, {shape, activation, prior}, std::atoi(argv[1]));
      for (std::size_t i = 0; i < wanted.size(); ++i) ratios[i].push_back(found[i]);
    }
  fmt::print("\nmedian of the ratios: {:.0f} to 1e-4, {:.0f} to 1e-5\n", median(ratios[0]),
             median(ratios[1]));
}
