#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <algorithm>

#include "core/random.hpp"
#include "headflow/core/error.hpp"
#include "headflow/model/start.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using testing_support::estimate;
using testing_support::two_sample_distance;

constexpr Shape shape{4, 2, 2};

/// Overlaps (m_11, m_21, q_11, q_12, |k*_1|^2, k*_1 . k*_2) of a start.
std::vector<double> overlaps(const Start& start) {
  const auto order = order_parameters(start.parameters.K, start.spike_factor);
  const Matrix gram = start.spike_factor * start.spike_factor.transpose();
  return {order.m(0, 0), order.m(1, 0), order.q(0, 0), order.q(0, 1), gram(0, 0), gram(0, 1)};
}

/// The same from vectors in R^D.
std::vector<double> direct_overlaps(int D, double eta, std::uint64_t seed) {
  RandomSequence sequence(RandomStream(seed, Purpose::samples), 0);
  Matrix spikes(2, D), heads(2, D);
  for (double& x : spikes.reshaped()) x = sequence.normal() / std::sqrt(D);
  for (double& x : heads.reshaped()) x = eta * sequence.normal() / std::sqrt(D);
  const Matrix m = heads * spikes.transpose(), q = heads * heads.transpose(),
               gram = spikes * spikes.transpose();
  return {m(0, 0), m(1, 0), q(0, 0), q(0, 1), gram(0, 0), gram(0, 1)};
}

// Two-sample Kolmogorov-Smirnov, 3000 draws each: sqrt(n/2) D > 2.2 has probability 1.2e-4, 18
// comparisons, fixed seeds.
TEST(RandomStart, hasTheLawOfGaussianVectors) {
  for (const int D : {4, 7, 60}) {
    std::vector<std::vector<double>> drawn(6), direct(6);
    for (std::uint64_t seed = 0; seed < 3000; ++seed) {
      const auto a = overlaps(random_start(shape, D, 1.3, false, seed));
      const auto b = direct_overlaps(D, 1.3, seed);
      for (std::size_t k = 0; k < 6; ++k) {
        drawn[k].push_back(a[k]);
        direct[k].push_back(b[k]);
      }
    }
    for (std::size_t k = 0; k < 6; ++k)
      EXPECT_LT(std::sqrt(1500.0) * two_sample_distance(drawn[k], direct[k]), 2.2)
          << "D " << D << " overlap " << k;
  }
}

// At D = 1e12: sqrt(D) m is N(0, eta^2) and sqrt(D) (q_11 - eta^2) is N(0, 2 eta^4); 4.5 sigma.
TEST(RandomStart, isRightAtHugeDimensions) {
  std::vector<double> m2, q1, q2;
  constexpr double D = 1e12;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    const auto o = overlaps(random_start(shape, D, 2, false, seed));
    m2.push_back(D * o[0] * o[0] / 4);
    q1.push_back(std::sqrt(D) * (o[2] - 4));
    q2.push_back(D * (o[2] - 4) * (o[2] - 4) / 32);
  }
  EXPECT_NEAR(estimate(m2).mean, 1, 4.5 * estimate(m2).error);
  EXPECT_NEAR(estimate(q1).mean, 0, 4.5 * estimate(q1).error);
  EXPECT_NEAR(estimate(q2).mean, 1, 4.5 * estimate(q2).error);
}

TEST(RandomStart, idealisedSpikesAreOrthonormalAndTheRestIsTheSame) {
  const Start finite = random_start(shape, 50, 1, false, 3);
  const Start ideal = random_start(shape, 50, 1, true, 3);
  EXPECT_EQ(ideal.spike_factor, Matrix::Identity(2, 2));
  EXPECT_NE(finite.spike_factor, ideal.spike_factor);
  EXPECT_EQ(finite.parameters.K, ideal.parameters.K);
}

TEST(RandomStart, needsRoomForAllVectors) {
  EXPECT_THROW(random_start(shape, 3, 1, false, 1), InputError);
  EXPECT_NO_THROW(random_start(shape, 4, 1, false, 1));
}

TEST(NoisyStart, staysNearEta) {
  const auto order =
      order_parameters(noisy_start(shape, 1e-3, 1.5, 1).parameters.K, Matrix::Identity(2, 2));
  EXPECT_LT((order.r - 2.25 * Matrix::Identity(2, 2)).cwiseAbs().maxCoeff(), 0.02);
  EXPECT_LT(order.m.cwiseAbs().maxCoeff(), 0.005);
  EXPECT_GT(order.m.cwiseAbs().maxCoeff(), 1e-5);
}

TEST(ExplicitStart, givesBackWhatItWasGiven) {
  Matrix m(2, 2), r(2, 2);
  m << 1, -0.5, 0.25, 2;
  r << 1, 0.3, 0.3, 0.5;
  const Start start = explicit_start(m, r, Vector{{0.1, -0.2}}, 1.5);
  const auto order = order_parameters(start.parameters.K, start.spike_factor);
  EXPECT_LT((order.m - m).cwiseAbs().maxCoeff(), 1e-15);
  EXPECT_LT((order.r - r).cwiseAbs().maxCoeff(), 1e-14);
  EXPECT_EQ(start.parameters.v, 1.5);
  r << 1, 2, 2, 1;
  EXPECT_THROW(explicit_start(m, r, Vector::Zero(2), 1), InputError);
}

TEST(StartFromState, givesBackAFiniteDimensionState) {
  const Start first = random_start(shape, 30, 1, false, 9);
  const auto order = order_parameters(first.parameters.K, first.spike_factor);
  const Start again =
      start_from_state(order.m, first.parameters.K.rightCols(2),
                       first.spike_factor * first.spike_factor.transpose(), first.parameters.b, 1);
  const auto back = order_parameters(again.parameters.K, again.spike_factor);
  EXPECT_LT((back.m - order.m).cwiseAbs().maxCoeff(), 1e-13);
  EXPECT_LT((back.q - order.q).cwiseAbs().maxCoeff(), 1e-13);
}

TEST(SymmetricRoot, isSymmetricAndSquaresToR) {
  Matrix r(3, 3);
  r << 2, 0.5, 0.5, 0.5, 2, 0.5, 0.5, 0.5, 2;
  const Matrix u = symmetric_root(r);
  EXPECT_LT((u - u.transpose()).cwiseAbs().maxCoeff(), 1e-14);
  EXPECT_LT((u * u.transpose() - r).cwiseAbs().maxCoeff(), 1e-14);
  EXPECT_EQ(symmetric_root(Matrix::Zero(2, 2)), Matrix::Zero(2, 2));
}

TEST(Parameters, packAndUnpackWhatIsTrained) {
  const Parameters parameters = testing_support::generic_parameters(shape);
  for (const auto& [activation, size] : {std::pair<Activation, std::size_t>{Softmax{}, 8},
                                         {SoftmaxOne{}, 11},
                                         {BayesSoftmax{}, 10}}) {
    ASSERT_EQ(parameters.trained_size(activation), size);
    std::vector<double> packed(size);
    parameters.pack(activation, packed);
    Parameters back = Parameters::zero(shape);
    back.unpack(activation, packed);
    EXPECT_EQ(back.K, parameters.K);
    const TrainedParts trained = trained_by(activation);
    EXPECT_EQ(back.b, trained.b ? parameters.b : Vector(Vector::Zero(2)));
    EXPECT_EQ(back.v, trained.v ? parameters.v : 0.0);
  }
}

}  // namespace
}  // namespace headflow
