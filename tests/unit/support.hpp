#pragma once
// What several tests need: every activation, a model written a second time in the plainest way, and
// statistics.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/lanes.hpp"
#include "headflow/model/start.hpp"
#include "headflow/population/population_loss.hpp"
#include "headflow/sgd/sgd_problem.hpp"
#include "population/samples.hpp"

namespace headflow::testing_support {

/// All ranks; never freed, because it would outlive MPI.
inline const Communicator& world() {
  static const auto* comm = new Communicator(Communicator::world());
  return *comm;
}

/// Every activation of the list in attention.hpp.
inline const std::vector<Activation> all_activations = []<class... A>(std::variant<A...>*) {
  return std::vector<Activation>{A{}...};
}(static_cast<Activation*>(nullptr));

/// That training of an activation, as far as it has the parameters: k or not, and the rates of b
/// and v.
inline Training training_of(const Activation& activation, bool k, double b, double v) {
  Training training(activation);
  training.k = k;
  training.b *= b;
  training.v *= v;
  return training;
}

/// A control that stops a computation inside its steps, when it is asked for the `last`-th time, or
/// between them.
class StopAt : public Control {
 public:
  enum class Place { within, between };
  StopAt(int last, Place place) : last_(last), place_(place) {}

  Request between_steps() override {
    return place_ == Place::between && ++asked_ == last_ ? Request::stop : Request::none;
  }
  void within_step() override {
    if (place_ == Place::within && ++asked_ == last_) throw Interrupt{};
  }
  int asked() const { return asked_; }

 private:
  int last_;
  Place place_;
  int asked_ = 0;
};
inline StopAt never_stop(StopAt::Place place = StopAt::Place::within) { return StopAt(-1, place); }

/// The same SGD on the spikes of a start.
inline SgdProblem with_spikes(SgdProblem problem, const Start& start) {
  const Model model = problem.model;
  problem.model = Model(model.shape, model.activation, model.prior, start.spike_factor);
  problem.model.training = model.training;
  problem.model.weight_decay = model.weight_decay;
  return problem;
}

/// Sobol points.
inline Sampling sobol(std::int64_t samples, int replicates = 8, std::uint64_t seed = 1) {
  return {.samples = samples, .replicates = replicates, .seed = seed};
}

/// Deterministic parameters without symmetry.
inline Parameters generic_parameters(const Shape& shape, double scale = 0.6) {
  Parameters parameters = Parameters::zero(shape);
  double* k = parameters.K.data();
  for (Eigen::Index i = 0; i < parameters.K.size(); ++i)
    k[i] = scale * std::sin(1.7 * static_cast<double>(i) + 0.3);
  for (Eigen::Index h = 0; h < parameters.b.size(); ++h)
    parameters.b[h] = 0.4 * std::cos(2.3 * static_cast<double>(h));
  parameters.v = 1.3;
  return parameters;
}

/// The name of an activation in the message of a test against its plain formula, which a new one
/// may still lack.
inline std::string beside_plain_formula(const Activation& activation) {
  return std::string(name_of(activation)) +
         " (plain formulas: reference_attention in tests/unit/support.hpp, reference_sigma in "
         "trained_support.hpp)";
}

/// The number in the denominator of an activation besides its exponentials. A new one needs it
/// here; one of another form its formula in reference_attention and in reference_sigma of
/// trained_support.hpp. Throws for one that has neither.
inline double reference_sink(const Activation& activation) {
  const std::string_view name = name_of(activation);
  if (name == "softmax-1") return 1;
  if (name == "softmax" || name == "bayes-softmax") return 0;
  throw std::logic_error("tests/unit/support.hpp has no plain formula of " + std::string(name));
}

/// theory.md section 2: A_l of one sequence from its fields chi (H x L), in long double, without
/// any care for speed.
inline std::vector<long double> reference_attention(const Activation& activation, const Matrix& chi,
                                                    const Vector& b, double v) {
  const auto H = chi.rows();
  const auto L = chi.cols();
  const std::string_view name = name_of(activation);
  const bool biased = trained_by(activation).b;
  const auto field = [&](Eigen::Index h, Eigen::Index l) -> long double {
    return static_cast<long double>(chi(h, l)) + (biased ? b[h] : 0.0);
  };
  // exp(field - top) / (sum of the same), top over what is normalised together: one head, its sink,
  // or all heads.
  std::vector<long double> A(static_cast<std::size_t>(L), 0);
  const bool together = name == "bayes-softmax";
  const long double sink = reference_sink(activation);
  const long double weight =
      together ? 1 : (trained_by(activation).v ? v : 1.0) / static_cast<long double>(H);
  for (Eigen::Index h = 0; h < H; ++h) {
    const Eigen::Index first = together ? 0 : h;
    const Eigen::Index last = together ? H : h + 1;
    long double top = sink > 0 ? 0 : field(first, 0);
    for (Eigen::Index g = first; g < last; ++g)
      for (Eigen::Index l = 0; l < L; ++l) top = std::max(top, field(g, l));
    long double sum = sink > 0 ? sink * std::exp(-top) : 0;
    for (Eigen::Index g = first; g < last; ++g)
      for (Eigen::Index l = 0; l < L; ++l) sum += std::exp(field(g, l) - top);
    for (Eigen::Index l = 0; l < L; ++l)
      A[static_cast<std::size_t>(l)] += weight * std::exp(field(h, l) - top) / sum;
  }
  return A;
}

/// e = sum_l (delta_{l,1} - A_l)^2 for the tokens x (L x P).
inline double reference_loss(const Activation& activation, const Parameters& parameters,
                             const Matrix& x) {
  const auto A =
      reference_attention(activation, parameters.K * x.transpose(), parameters.b, parameters.v);
  long double e = 0;
  for (std::size_t l = 0; l < A.size(); ++l) e += (A[l] - (l == 0)) * (A[l] - (l == 0));
  return static_cast<double>(e);
}

/// One sample out of SampleGenerator's layout, as an L x P matrix.
template <class Real>
Matrix sample(const Real* x, std::int64_t i, const Shape& shape) {
  const int lanes = lane_count<Real>;
  const int P = shape.coordinates();
  Matrix tokens(shape.tokens, P);
  for (int l = 0; l < shape.tokens; ++l)
    for (int p = 0; p < P; ++p)
      tokens(l, p) = x[(i / lanes * shape.tokens * P + l * P + p) * lanes + i % lanes];
  return tokens;
}

/// Largest distance of two empirical distribution functions (Kolmogorov-Smirnov).
inline double two_sample_distance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double distance = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    (a[i] < b[j] ? i : j)++;
    distance = std::max(distance, std::abs(static_cast<double>(i) / static_cast<double>(a.size()) -
                                           static_cast<double>(j) / static_cast<double>(b.size())));
  }
  return distance;
}

/// Mean and its standard error.
struct Estimate {
  double mean = 0;
  double error = 0;
};
inline Estimate estimate(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Estimate e;
  for (const double x : values) e.mean += x / n;
  for (const double x : values) e.error += (x - e.mean) * (x - e.mean);
  e.error = std::sqrt(e.error / (n * (n - 1)));
  return e;
}

}  // namespace headflow::testing_support
