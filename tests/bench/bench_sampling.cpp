// Variance of the sampled loss and of its gradient with Sobol points over that of plain Monte
// Carlo with as many samples, on trained states. Variances are of the mean over one replicate, from
// the spread of independent replicates; that of the gradient is summed over its components.
// usage: bench_sampling POWER [TOKENS HEADS FEATURES]
// 2^11, 2^13, .. 2^POWER points. Without a model: tokens 3, 5, 10, heads 1, 2, 4, 8, features 1, 2,
// 4, five priors, the activations in turn (POWER 15: 12 minutes on one core). The last line has the
// largest ratio for each number of points. 32 replicates: a ratio has a standard error of 27 %.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "headflow/core/petsc.hpp"
#include "headflow/core/statistics.hpp"
#include "headflow/model/start.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/train/minimise.hpp"

using namespace headflow;

namespace {

struct Variance {
  double loss = 0, gradient = 0;  // of one sample's share: times the number of samples
};

Variance variance(const Communicator& comm, const Model& model, const Parameters& state,
                  SamplingMethod method, std::int64_t samples, int replicates) {
  std::vector<std::vector<double>> entries(state.trained_size(model.activation) + 1);
  for (int r = 0; r < replicates; ++r) {
    PopulationLoss loss(comm, model,
                        {.samples = samples,
                         .method = method,
                         .replicates = 1,
                         .first_replicate = r,
                         .seed = 2,
                         .memory_gib = 0});
    const LossGradient at = loss.evaluate(state);
    entries[0].push_back(at.loss);
    const Vector gradient = at.gradient.packed(model.activation);
    for (Eigen::Index i = 0; i < gradient.size(); ++i)
      entries[static_cast<std::size_t>(i) + 1].push_back(gradient[i]);
  }
  Variance result;
  const double scale = static_cast<double>(samples) * replicates;
  for (std::size_t i = 0; i < entries.size(); ++i)
    (i == 0 ? result.loss : result.gradient) +=
        scale * standard_error(entries[i]) * standard_error(entries[i]);
  return result;
}

std::map<std::string, Prior> priors(int F) {
  Matrix covariance = 2.0 * Matrix::Identity(F, F) + 0.5 * Matrix::Ones(F, F);
  std::map<std::string, Prior> result = {{"canonical", canonical_spikes(F, 4)},
                                         {"isotropic", anisotropic_gaussian(F, 4, 4)},
                                         {"anisotropic", anisotropic_gaussian(F, 8, 1)},
                                         {"gaussian", gaussian_prior(Vector::Ones(F), covariance)}};
  if (F == 2) result.emplace("flipping", flipping_spike(2, 2));
  return result;
}

std::map<int, Variance> largest;

void measure(const Communicator& comm, const std::string& law, const Model& model, int most) {
  const auto [L, H, F] = model.shape;
  PopulationLoss training(comm, model, {.samples = 65536, .replicates = 1});
  const Parameters state =
      minimise(training, noisy_start(model.shape, 0.3, 1, 1).parameters, {.most_evaluations = 400})
          .parameters;
  const Variance plain = variance(comm, model, state, SamplingMethod::monte_carlo, 2048, 256);
  std::string line = fmt::format("{:2} {} {} {:11} {:13}", L, H, F, law, name_of(model.activation));
  for (int power = 11; power <= most; power += 2) {
    const Variance sobol =
        variance(comm, model, state, SamplingMethod::sobol, std::int64_t{1} << power, 32);
    const Variance ratio{sobol.loss / plain.loss, sobol.gradient / plain.gradient};
    line += fmt::format("   2^{} {:.4f} {:.3f}", power, ratio.loss, ratio.gradient);
    largest[power].loss = std::max(largest[power].loss, ratio.loss);
    largest[power].gradient = std::max(largest[power].gradient, ratio.gradient);
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  if (argc != 2 && argc != 5) {
    fmt::print(stderr, "usage: bench_sampling POWER [TOKENS HEADS FEATURES]\n");
    return 2;
  }
  const PetscSession petsc;
  const Communicator comm = Communicator::world();
  const std::array<Activation, 3> activations = {Softmax{}, SoftmaxOne{}, BayesSoftmax{}};
  std::vector<Shape> shapes;
  if (argc == 5)
    shapes.push_back({std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4])});
  else
    for (const int L : {3, 5, 10})
      for (const int H : {1, 2, 4, 8})
        for (const int F : {1, 2, 4}) shapes.push_back({L, H, F});
  std::size_t next = 0;
  fmt::print("L H F law activation, then for each number of points: loss gradient\n");
  for (const Shape& shape : shapes)
    for (const auto& [law, prior] : priors(shape.features))
      measure(comm, law, {shape, activations[next++ % activations.size()], prior},
              std::atoi(argv[1]));
  fmt::print("largest:");
  for (const auto& [power, ratio] : largest)
    fmt::print("   2^{} {:.4f} {:.3f}", power, ratio.loss, ratio.gradient);
  fmt::print("\n");
}
