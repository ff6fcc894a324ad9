#include <gtest/gtest.h>

#include "population/kernel.hpp"
#include "population/moment_kernel.hpp"
#include "population/tangent_kernel.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

const std::vector<Shape> odd_shapes = {{2, 1, 1},  {2, 2, 2},  {4, 2, 2},  {5, 4, 2},  {3, 2, 5},
                                       {10, 2, 2}, {5, 8, 3},  {4, 3, 2},  {6, 3, 1},  {7, 5, 4},
                                       {11, 1, 2}, {13, 4, 3}, {4, 32, 2}, {10, 3, 2}, {3, 1, 8},
                                       {7, 1, 2},  {23, 2, 2}};

Prior prior_for(const Shape& shape) { return anisotropic_gaussian(shape.features, 3, 1); }

template <class Real>
AlignedVector<Real> block(const Shape& shape, std::int64_t count) {
  const SampleGenerator generator(shape, prior_for(shape), {.method = SamplingMethod::monte_carlo});
  AlignedVector<Real> x(
      static_cast<std::size_t>((count + 15) * shape.tokens * shape.coordinates()));
  generator.fill(0, 0, count, x.data());
  return x;
}

template <class Real>
std::vector<double> kernel_sums(const Shape& shape, const Activation& activation,
                                const Parameters& parameters, const AlignedVector<Real>& x,
                                std::int64_t count) {
  Kernel<Real> kernel(shape, activation);
  std::vector<double> sums(kernel.result_size());
  kernel(parameters, x.data(), count, sums);
  return sums;
}

std::string said(const Shape& shape) {
  return ", L = " + std::to_string(shape.tokens) + " H = " + std::to_string(shape.heads) +
         " F = " + std::to_string(shape.features);
}

TEST(Kernel, lossAgreesWithThePlainModel) {
  for (const Shape& shape : odd_shapes)
    for (const Activation& activation : all_activations)
      for (const std::int64_t count : {1, 8, 37}) {
        const auto x = block<double>(shape, count);
        const Parameters parameters = generic_parameters(shape);
        double expected = 0;
        for (std::int64_t i = 0; i < count; ++i)
          expected += reference_loss(activation, parameters, sample(x.data(), i, shape));
        EXPECT_NEAR(kernel_sums(shape, activation, parameters, x, count)[0], expected,
                    1e-13 * expected)
            << "forward of " << beside_plain_formula(activation) << said(shape);
      }
}

/// Central difference of the plain model's loss over the block, the k-th parameter moved.
double difference(const Shape& shape, const Activation& activation, const Parameters& parameters,
                  const AlignedVector<double>& x, std::int64_t count, Eigen::Index k) {
  constexpr double h = 1e-5;
  double loss[2];
  for (int side = 0; side < 2; ++side) {
    Parameters moved = parameters;
    const double step = side == 0 ? h : -h;
    const auto after_K = k - moved.K.size();
    (after_K < 0                ? moved.K.data()[k]
     : after_K < moved.b.size() ? moved.b[after_K]
                                : moved.v) += step;
    loss[side] = 0;
    for (std::int64_t i = 0; i < count; ++i)
      loss[side] += reference_loss(activation, moved, sample(x.data(), i, shape));
  }
  return (loss[0] - loss[1]) / (2 * h);
}

TEST(Kernel, gradientAgreesWithCentralDifferences) {
  for (const Shape& shape : odd_shapes)
    for (const Activation& activation : all_activations) {
      constexpr std::int64_t count = 11;
      const auto x = block<double>(shape, count);
      const Parameters parameters = generic_parameters(shape);
      const auto sums = kernel_sums(shape, activation, parameters, x, count);
      const auto size = static_cast<Eigen::Index>(parameters.K.size() + parameters.b.size() + 1);
      const TrainedParts trained = trained_by(activation);
      for (Eigen::Index k = 0; k<size; k += shape.heads> 8 ? 17 : 1) {
        if (k >= parameters.K.size() && k + 1 < size && !trained.b) continue;
        if (k + 1 == size && !trained.v) continue;
        // difference error: h^2 times third derivatives (order 10) times 11 samples, plus rounding
        // 1e-14/h
        EXPECT_NEAR(sums[static_cast<std::size_t>(k) + 1],
                    difference(shape, activation, parameters, x, count, k), 1e-7)
            << "backward of " << beside_plain_formula(activation) << said(shape) << " parameter "
            << k << " of K, b, v";
      }
    }
}

/// sum_l g_{h,l} g_{h',l} of one sample, g = de/dchi by central differences of the plain model.
Matrix second_moments(const Activation& activation, const Parameters& parameters, const Matrix& x) {
  constexpr double step = 1e-5;
  const Matrix chi = parameters.K * x.transpose();
  const auto loss = [&](const Matrix& fields) {
    const auto A = reference_attention(activation, fields, parameters.b, parameters.v);
    long double e = 0;
    for (std::size_t l = 0; l < A.size(); ++l) e += (A[l] - (l == 0)) * (A[l] - (l == 0));
    return e;
  };
  Matrix g(chi.rows(), chi.cols());
  for (Eigen::Index i = 0; i < chi.size(); ++i) {
    Matrix up = chi, down = chi;
    up.data()[i] += step;
    down.data()[i] -= step;
    g.data()[i] = static_cast<double>((loss(up) - loss(down)) / (2 * step));
  }
  return g * g.transpose();
}

TEST(Kernel, secondMomentsOfTheStepAgreeWithCentralDifferences) {
  for (const Shape& shape : {Shape{4, 2, 2}, Shape{5, 3, 2}, Shape{3, 1, 2}})
    for (const Activation& activation : all_activations) {
      constexpr std::int64_t count = 11;
      const auto x = block<double>(shape, count);
      const Parameters parameters = generic_parameters(shape);
      Matrix expected = Matrix::Zero(shape.heads, shape.heads);
      for (std::int64_t i = 0; i < count; ++i)
        expected += second_moments(activation, parameters, sample(x.data(), i, shape));
      Kernel<double> kernel(shape, activation, true);
      std::vector<double> sums(kernel.result_size());
      kernel(parameters, x.data(), count, sums);
      const auto without = kernel_sums(shape, activation, parameters, x, count);
      EXPECT_TRUE(std::equal(without.begin(), without.end(), sums.begin()));
      std::size_t next = without.size();
      for (int h = 0; h < shape.heads; ++h)
        for (int other = 0; other <= h; ++other)
          EXPECT_NEAR(sums[next++], expected(h, other), 1e-8) << beside_plain_formula(activation);
    }
}

TEST(Kernel, isFiniteAndRightForAnyField) {
  const Shape shape{4, 2, 2};
  for (const double size : {1e4, -1e4, 1e8})
    for (const Activation& activation : all_activations) {
      constexpr std::int64_t count = 16;
      const auto x = block<double>(shape, count);
      Parameters parameters = generic_parameters(shape, size);
      parameters.b.setConstant(-size);
      const auto sums = kernel_sums(shape, activation, parameters, x, count);
      double expected = 0;
      for (std::int64_t i = 0; i < count; ++i)
        expected += reference_loss(activation, parameters, sample(x.data(), i, shape));
      for (const double s : sums) EXPECT_TRUE(std::isfinite(s));
      EXPECT_NEAR(sums[0], expected, 1e-9 * (1 + expected))
          << beside_plain_formula(activation) << ' ' << size;
    }
}

TEST(Kernel, samplesInSinglePrecisionAreWidened) {
  constexpr std::int64_t count = 37;
  for (const Shape& shape : odd_shapes) {
    const Parameters parameters = generic_parameters(shape);
    const SampleGenerator generator(shape, prior_for(shape),
                                    {.method = SamplingMethod::monte_carlo});
    const auto wide = block<double>(shape, count);
    AlignedVector<float> narrow(wide.size());
    generator.fill<float, lane_count<double>>(0, 0, count, narrow.data());
    const auto differ = [&]<class AnyKernel>(AnyKernel kernel, std::size_t size, auto... points) {
      std::vector<double> expected(size), sums(size);
      kernel(points..., wide.data(), count, expected);
      kernel(points..., narrow.data(), count, sums);
      return sums != expected;
    };
    const std::size_t size = Kernel<double>::result_size(shape);
    const Training training = training_of(Softmax{}, true, 0, 0);
    EXPECT_FALSE(differ(Kernel<double>(shape, Softmax{}), size, parameters));
    EXPECT_FALSE(differ(TangentKernel<double>(shape, Softmax{}), size, parameters, parameters));
    EXPECT_FALSE(differ(MomentKernel<double>(shape, Softmax{}, training),
                        MomentKernel<double>::result_size(shape, training), parameters, 1.0));
  }
}

TEST(Kernel, singlePrecisionIsCloseToDouble) {
  for (const Shape& shape : odd_shapes)
    for (const Activation& activation : all_activations) {
      constexpr std::int64_t count = 1024;
      const Parameters parameters = generic_parameters(shape);
      const auto exact =
          kernel_sums(shape, activation, parameters, block<double>(shape, count), count);
      const auto single =
          kernel_sums(shape, activation, parameters, block<float>(shape, count), count);
      for (std::size_t i = 0; i < exact.size(); ++i)
        EXPECT_NEAR(single[i] / count, exact[i] / count, 3e-6) << name_of(activation) << ' ' << i;
    }
}

}  // namespace
}  // namespace headflow
