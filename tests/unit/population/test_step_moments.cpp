#include <tuple>

#include "headflow/population/population_loss.hpp"
#include "population/moment_kernel.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// zeta of one sequence by central differences of its loss: G = sum_l g_l (u w_l)' is de/du u'.
Vector reference_zeta(const Activation& activation, const Parameters& at, double kappa,
                      const Matrix& x) {
  constexpr double h = 1e-5;
  const Eigen::Index H = at.K.rows(), F = at.K.cols() - H, L = x.rows();
  const auto slope = [&](auto&& moved) { return (moved(h) - moved(-h)) / (2 * h); };
  Matrix of_K(H, F + H), g(H, L);
  for (Eigen::Index i = 0; i < H; ++i) {
    for (Eigen::Index p = 0; p < F + H; ++p)
      of_K(i, p) = slope([&](double by) {
        Parameters there = at;
        there.K(i, p) += by;
        return reference_loss(activation, there, x);
      });
    for (Eigen::Index l = 0; l < L; ++l)
      g(i, l) = slope([&](double by) {
        Matrix chi = at.K * x.transpose();
        chi(i, l) += by;
        const auto A = reference_attention(activation, chi, at.b, at.v);
        long double e = 0;
        for (std::size_t j = 0; j < A.size(); ++j) e += (A[j] - (j == 0)) * (A[j] - (j == 0));
        return static_cast<double>(e);
      });
  }
  const Matrix half = of_K.rightCols(H) * at.K.rightCols(H).transpose();
  const Matrix of_r = half + half.transpose() - kappa * g * g.transpose();
  std::vector<double> zeta;
  for (Eigen::Index i = 0; i < H; ++i)
    for (Eigen::Index f = 0; f < F; ++f) zeta.push_back(of_K(i, f));
  for (Eigen::Index i = 0; i < H; ++i)
    for (Eigen::Index j = 0; j <= i; ++j) zeta.push_back(of_r(i, j));
  const TrainedParts trained = trained_by(activation);
  for (Eigen::Index i = 0; i < H && trained.b; ++i)
    zeta.push_back(slope([&](double by) {
      Parameters there = at;
      there.b[i] += by;
      return reference_loss(activation, there, x);
    }));
  if (trained.v)
    zeta.push_back(slope([&](double by) {
      Parameters there = at;
      there.v += by;
      return reference_loss(activation, there, x);
    }));
  return to_vector(zeta);
}

TEST(MomentKernel, isThePlainSumOverSequences) {
  for (const Shape& shape : {Shape{4, 2, 2}, Shape{3, 3, 1}})
    for (const Activation& activation : all_activations) {
      const Parameters point = generic_parameters(shape);
      const std::int64_t count = 19;  // no multiple of the lanes
      const Sampling sampling{.samples = 32, .replicates = 1};
      const SampleGenerator generator(
          shape,
          gaussian_prior(Vector::Ones(shape.features),
                         Matrix::Identity(shape.features, shape.features)),
          sampling);
      AlignedVector<double> x(static_cast<std::size_t>(32 * shape.tokens * shape.coordinates()));
      generator.fill(0, 0, count, x.data());
      std::vector<double> sums(MomentKernel<double>::result_size(shape, activation));
      MomentKernel<double>(shape, activation, activation)(point, 0.7, x.data(), count, sums);
      const auto n = static_cast<Eigen::Index>(order_parameter_count(shape, activation));
      Vector first = Vector::Zero(n);
      Matrix second = Matrix::Zero(n, n);
      for (std::int64_t i = 0; i < count; ++i) {
        const Vector zeta = reference_zeta(activation, point, 0.7, sample(x.data(), i, shape));
        ASSERT_EQ(zeta.size(), n);
        first += zeta;
        second += zeta * zeta.transpose();
      }
      std::size_t next = 0;
      for (Eigen::Index i = 0; i < n; ++i)
        EXPECT_NEAR(sums[next++], first[i], 1e-8) << beside_plain_formula(activation);
      for (Eigen::Index i = 0; i < n; ++i)
        for (Eigen::Index j = 0; j <= i; ++j)
          EXPECT_NEAR(sums[next++], second(i, j), 1e-7) << beside_plain_formula(activation);
    }
}

TEST(DistributedStepMoments, meanIsTheGradientAndBitsAreThoseOfOneRank) {
  constexpr double kappa = 0.6;
  const Shape shape{4, 3, 2};
  const Communicator self = Communicator::self();
  for (const Activation& activation : all_activations)
    for (const bool symmetric : {false, true}) {
      const Model model(shape, activation, flipping_spike(2, 3));
      const Sampling sampling{.samples = 5000, .replicates = 2, .symmetric = symmetric};
      PopulationLoss loss(world(), model, sampling, true), alone(self, model, sampling, true);
      const Parameters point = generic_parameters(shape);
      const auto found = loss.step_moments({&point, 1}, kappa),
                 reference = alone.step_moments({&point, 1}, kappa);
      const LossGradient at = loss.evaluate(point);
      const auto u = point.K.rightCols(3);
      const Matrix half = at.gradient.K.rightCols(3) * u.transpose();
      const Matrix of_r = half + half.transpose() - kappa * at.noise;
      ASSERT_EQ(found.size(), 2u);
      const Vector mean = 0.5 * (found[0].mean + found[1].mean);
      Eigen::Index next = 0;
      for (int h = 0; h < 3; ++h)
        for (int f = 0; f < 2; ++f) EXPECT_NEAR(mean[next++], at.gradient.K(h, f), 1e-12);
      for (int h = 0; h < 3; ++h)
        for (int g = 0; g <= h; ++g) EXPECT_NEAR(mean[next++], of_r(h, g), 1e-12);
      if (model.training.b > 0) {
        for (int h = 0; h < 3; ++h) EXPECT_NEAR(mean[next++], at.gradient.b[h], 1e-12);
      }
      if (model.training.v > 0) {
        EXPECT_NEAR(mean[next++], at.gradient.v, 1e-12);
      }
      EXPECT_EQ(next, mean.size());
      for (std::size_t r = 0; r < 2; ++r) {
        EXPECT_EQ(found[r].mean, reference[r].mean);
        EXPECT_EQ(found[r].covariance, reference[r].covariance);
      }
    }
}

// What is trained is a part of all; b and v have their rates.
TEST(StepMoments, areOfWhatIsTrainedAtItsRates) {
  const Shape shape{4, 3, 2};
  for (const bool symmetric : {false, true})
    for (const auto& [k, b, v] :
         {std::tuple{true, 0.0, 3.0}, {false, 0.5, 0.0}, {false, 2.0, 3.0}}) {
      const Sampling sampling{.samples = 600, .replicates = 2, .symmetric = symmetric};
      Model model(shape, SoftmaxOne{}, flipping_spike(2, 3));
      PopulationLoss whole(world(), model, sampling, true);
      model.training = training_of(SoftmaxOne{}, k, b, v);
      PopulationLoss loss(world(), model, sampling, true);
      const Parameters point = generic_parameters(shape);
      const StepMoments all = whole.step_moments({&point, 1}, 0.6)[0];
      const StepMoments part = loss.step_moments({&point, 1}, 0.6)[0];
      std::vector<std::pair<Eigen::Index, double>> kept;  // place among all, rate
      for (Eigen::Index i = 0; i < all.mean.size(); ++i) {
        const double rate = i < 12 ? double(k) : i < 15 ? b : v;
        if (rate > 0) kept.emplace_back(i, rate);
      }
      ASSERT_EQ(part.mean.size(), std::ssize(kept));
      for (Eigen::Index i = 0; i < part.mean.size(); ++i) {
        const auto [place, rate] = kept[static_cast<std::size_t>(i)];
        EXPECT_NEAR(part.mean[i], rate * all.mean[place], 1e-14);
        for (Eigen::Index j = 0; j < part.mean.size(); ++j) {
          const auto [other, other_rate] = kept[static_cast<std::size_t>(j)];
          EXPECT_NEAR(part.covariance(i, j), rate * other_rate * all.covariance(place, other),
                      1e-14);
        }
      }
    }
}

// Without fields a softmax has g_l = -2 (delta_{l,1} - 1/L) / (H L) whatever the sample, so
//   Cov[zeta_hf, zeta_h'f'] = 4 (1 - 1/L) / (H L)^2 ((1 - 1/L) Cov[theta_f, theta_f'] + delta_ff'),
// and r has none. Within 6.5 standard errors of 16 replicates (t with 15 degrees of freedom: 1e-5
// an entry), which are a few per cent.
TEST(StepMoments, haveTheirClosedFormAtZeroFields) {
  const Shape shape{4, 2, 2};
  PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 3)},
                      {.samples = 16 * 512, .replicates = 16}, true);
  const auto found = loss.step_moments(std::vector{Parameters::zero(shape)}, 0.5);
  const double L = 4, H = 2, scale = 4 * (1 - 1 / L) / (H * L * H * L);
  const double theta[] = {0, 3};
  for (Eigen::Index i = 0; i < 7; ++i)
    for (Eigen::Index j = 0; j <= i; ++j) {
      std::vector<double> each;
      for (const StepMoments& one : found) each.push_back(one.covariance(i, j));
      const Estimate measured = estimate(each);
      const bool same_feature = i < 4 && j < 4 && i % 2 == j % 2;
      const double expected = same_feature ? scale * ((1 - 1 / L) * theta[i % 2] + 1) : 0;
      EXPECT_NEAR(measured.mean, expected, 6.5 * measured.error + 1e-15) << i << " " << j;
      EXPECT_LT(measured.error, 0.03 * scale);
    }
}

}  // namespace
}  // namespace headflow
