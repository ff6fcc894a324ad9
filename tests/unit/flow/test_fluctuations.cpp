#include "headflow/flow/fluctuations.hpp"

#include "headflow/flow/drift.hpp"
#include "headflow/flow/order_tangents.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// Deterministic parameters without symmetry, r of full rank.
Parameters full_parameters(const Shape& shape) {
  Parameters parameters = generic_parameters(shape);
  parameters.K.rightCols(shape.heads).diagonal().array() += 0.7;
  return parameters;
}

/// The drift of y at K, of the samples of `loss`.
Vector drift_at(PopulationLoss& loss, const Parameters& at, double kappa) {
  const LossGradient found = loss.evaluate(at);
  const Eigen::Index H = at.K.rows();
  const Matrix half = found.gradient.K.rightCols(H) * at.K.rightCols(H).transpose();
  const Matrix of_r = half + half.transpose() - kappa * found.noise;
  return -OrderTangents(loss.model(), at)
              .packed(found.gradient.K.leftCols(at.K.cols() - H), of_r,
                      loss.model().training.b * found.gradient.b,
                      loss.model().training.v * found.gradient.v);
}

Parameters moved(const Parameters& at, const Parameters& direction, double by) {
  return {at.K + by * direction.K, at.b + by * direction.b, at.v + by * direction.v};
}

TEST(OrderTangents, changeOneEntryEach) {
  const Shape shape{4, 3, 2};
  const Model model(shape, SoftmaxOne{}, flipping_spike(2, 2));
  const Parameters at = full_parameters(shape);
  const OrderTangents tangents(model, at);
  const Matrix u = at.K.rightCols(3);
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    const Parameters& one = tangents.directions()[i];
    const Matrix du = one.K.rightCols(3), half = du * u.transpose();
    const Vector y = tangents.packed(one.K.leftCols(2), half + half.transpose(), one.b, one.v);
    const auto n = static_cast<Eigen::Index>(tangents.size());
    EXPECT_LT((y - Vector::Unit(n, static_cast<Eigen::Index>(i))).cwiseAbs().maxCoeff(), 1e-10);
  }
}

TEST(LinearNoise, jacobianIsThatOfTheDrift) {
  constexpr double kappa = 0.6, h = 1e-5;
  for (const Shape& shape : {Shape{4, 2, 2}, Shape{3, 3, 1}})
    for (const Activation& activation : all_activations) {
      Model model(shape, activation,
                  gaussian_prior(Vector::Ones(shape.features),
                                 Matrix::Identity(shape.features, shape.features)));
      model.weight_decay = shape.heads == 2 ? 0.4 : 0;
      if (shape.heads == 3) model.training = training_of(activation, true, 0.5, 3);
      PopulationLoss loss(world(), model, {.samples = 512, .replicates = 2}, true);
      const Parameters at = full_parameters(shape);
      const LinearNoise found = linear_noise(loss, at, kappa);
      const auto each = linear_noises(loss, {&at, 1}, kappa);
      ASSERT_EQ(each.size(), 2u);
      const OrderTangents tangents(model, at);
      for (std::size_t i = 0; i < tangents.size(); ++i) {
        const Parameters& direction = tangents.directions()[i];
        const Vector difference = (drift_at(loss, moved(at, direction, h), kappa) -
                                   drift_at(loss, moved(at, direction, -h), kappa)) /
                                  (2 * h);
        const Vector column = found.jacobian.col(static_cast<Eigen::Index>(i));
        EXPECT_LT((column - difference).cwiseAbs().maxCoeff(), 1e-7)
            << name_of(activation) << " entry " << i;
      }
      EXPECT_LT(
          (found.jacobian - 0.5 * (each[0].jacobian + each[1].jacobian)).cwiseAbs().maxCoeff(),
          1e-14);
    }
}

// y knows u only by r = u u': another u of the same r has the same J and noise but for the samples,
// whose error is that of 16 replicates (t with 15 degrees of freedom beyond 6.5: 1e-5 an entry).
TEST(LinearNoise, dependsOnRAlone) {
  constexpr double kappa = 0.6;
  const Shape shape{4, 2, 2};
  const Model model(shape, Softmax{}, flipping_spike(2, 2));
  PopulationLoss loss(world(), model, {.samples = 16 * 2048, .replicates = 16}, true);
  Parameters at = generic_parameters(shape), turned = at;
  Matrix rotation(2, 2);
  rotation << 0.6, -0.8, 0.8, 0.6;
  turned.K.rightCols(2) = at.K.rightCols(2) * rotation;
  const auto one = linear_noises(loss, {&at, 1}, kappa);
  const auto other = linear_noises(loss, {&turned, 1}, kappa);
  for (Eigen::Index i = 0; i < one[0].jacobian.size(); ++i) {
    std::vector<double> jacobian, noise;
    for (std::size_t r = 0; r < one.size(); ++r) {
      jacobian.push_back(one[r].jacobian.data()[i] - other[r].jacobian.data()[i]);
      noise.push_back(one[r].noise.data()[i] - other[r].noise.data()[i]);
    }
    for (const auto& differences : {jacobian, noise}) {
      const Estimate found = estimate(differences);
      EXPECT_LT(std::abs(found.mean), 6.5 * found.error + 1e-12) << "entry " << i;
    }
  }
}

TEST(LinearNoise, isFiniteWhereHeadsLieInTheSpanOfTheSpikes) {
  const Shape shape{4, 2, 2};
  PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 2)}, {.samples = 512}, true);
  Parameters at = generic_parameters(shape);
  at.K.rightCols(2).setZero();
  const LinearNoise one = linear_noise(loss, at, 0);
  EXPECT_TRUE(one.jacobian.allFinite());
  EXPECT_TRUE(one.noise.middleRows(4, 3).isZero());  // of r
  EXPECT_GT(one.noise(0, 0), 1e-3);
}

/// J = [[-a, 1], [0, -c]] and noise s s' are constant: one long step is exact. By hand, in the
/// second entry C = s_2^2 (1 - exp(-2 c t)) / (2 c).
TEST(Propagator, isExactWhereNothingChanges) {
  LinearNoise at{Matrix(2, 2), Matrix(2, 2)};
  at.jacobian << -30, 1, 0, -0.5;
  at.noise << 4, 1, 1, 2;
  const Matrix start = Matrix::Identity(2, 2);
  constexpr double t = 0.1, strength = 0.3;
  Matrix many = start;
  for (int i = 0; i < 10; ++i) many = propagator(at, at, strength, t / 10)(many);
  const Matrix one = propagator(at, at, strength, t)(start);
  EXPECT_LT((one - many).cwiseAbs().maxCoeff(), 1e-12);
  EXPECT_NEAR(one(1, 1), std::exp(-t) + strength * 2 * (1 - std::exp(-t)), 1e-13);
  EXPECT_LT((propagator(at, at, strength, 2 * t, 0.5)(start) - one).cwiseAbs().maxCoeff(), 1e-13);
}

/// C' = 2 J C + q with J = cos t and C = 2 + sin t, so q = cos t - 2 cos t (2 + sin t): the error
/// falls by 16 where the step is halved.
TEST(Propagator, isOfFourthOrder) {
  const auto error = [](int steps) {
    const double h = 2.0 / steps;
    Matrix C = Matrix::Constant(1, 1, 2);
    const auto at = [](double t) {
      return LinearNoise{Matrix::Constant(1, 1, std::cos(t)),
                         Matrix::Constant(1, 1, std::cos(t) - 2 * std::cos(t) * (2 + std::sin(t)))};
    };
    for (int i = 0; i < steps; ++i) {
      const double t = i * h, off = 0.5 / std::sqrt(3.0);
      C = propagator(at(t + (0.5 - off) * h), at(t + (0.5 + off) * h), 1, h)(C);
    }
    return std::abs(C(0, 0) - 2 - std::sin(2.0));
  };
  EXPECT_NEAR(error(20) / error(40), 16, 2);
  EXPECT_LT(error(40), 1e-6);
}

FluctuationsRecord last_record(PopulationLoss& loss, const Parameters& start,
                               const FluctuationsOptions& options,
                               Control& control = Control::none(), const Snapshot& from = {},
                               Snapshot* saved = nullptr) {
  FluctuationsRecord last;
  run_fluctuations(loss, start, options,
                   {.record = [&](const FluctuationsRecord& record) { last = record; },
                    .save =
                        [&](const Snapshot& state) {
                          if (saved) *saved = state;
                        }},
                   control, from);
  return last;
}

Start example_start() {
  Matrix m(2, 2);
  m << 0.10, 0.05, 0.08, -0.02;
  return explicit_start(m, Matrix::Identity(2, 2), Vector::Zero(2), 1);
}

TEST(DistributedFluctuations, haveTheBitsOfOneRankForAnyOutputsAndGoOn) {
  const Shape shape{4, 2, 2};
  const Model model(shape, SoftmaxOne{}, flipping_spike(2, 2));
  const Sampling sampling{.samples = 2048, .replicates = 2};
  const Communicator self = Communicator::self();
  PopulationLoss loss(world(), model, sampling, true), alone(self, model, sampling, true);
  const Start start = example_start();
  const FluctuationsOptions options{
      .end_time = 6, .output_times = {0, 1, 6}, .kappa = 0.5, .dimension = 1000};
  FluctuationsOptions fewer = options;
  fewer.output_times = {6};
  const FluctuationsRecord all = last_record(loss, start.parameters, options);
  const auto numbers = [](const FluctuationsRecord& record) {
    std::vector<double> result;
    for (const auto& [at, gradient, covariance] : record.spreads)
      for (const Matrix& one : {at.K, gradient.K, covariance})
        result.insert(result.end(), one.data(), one.data() + one.size());
    return result;
  };
  EXPECT_EQ(all.spreads.size(), 3u);
  EXPECT_EQ(numbers(all), numbers(last_record(alone, start.parameters, options)));
  EXPECT_EQ(numbers(all), numbers(last_record(loss, start.parameters, fewer)));
  for (const auto place : {StopAt::Place::between, StopAt::Place::within}) {
    StopAt stop(place == StopAt::Place::between ? 3 : 40, place);
    Snapshot saved;
    last_record(loss, start.parameters, options, stop, {}, &saved);
    ASSERT_FALSE(saved.empty());
    EXPECT_LT(saved.number("t"), 6);
    EXPECT_EQ(numbers(all),
              numbers(last_record(loss, start.parameters, options, Control::none(), saved)));
  }
}

// One replicate alone, as the only one of a sample set, has the same flow and covariance as among
// several: to the tolerance of the stepper, whose steps are others.
TEST(Fluctuations, replicatesHaveFlowsOfTheirOwn) {
  const Model model({4, 2, 2}, SoftmaxOne{}, flipping_spike(2, 2));
  PopulationLoss two(world(), model, {.samples = 1024, .replicates = 2}, true);
  PopulationLoss one(world(), model, {.samples = 512, .replicates = 1}, true);
  const Start start = example_start();
  const FluctuationsOptions options{
      .end_time = 6, .output_times = {6}, .kappa = 0.5, .dimension = 1000, .tolerance = 1e-8};
  const auto found = last_record(two, start.parameters, options).spreads;
  const auto alone = last_record(one, start.parameters, options).spreads;
  ASSERT_EQ(found.size(), 3u);
  ASSERT_EQ(alone.size(), 1u);
  EXPECT_LT((found[1].at.K - alone[0].at.K).norm(), 1e-6);
  EXPECT_LT((found[1].gradient.K - alone[0].gradient.K).norm(), 1e-6);
  EXPECT_LT((found[1].covariance - alone[0].covariance).norm(), 1e-6 * alone[0].covariance.norm());
  for (const std::size_t other : {0u, 2u}) {
    EXPECT_GT((found[1].at.K - found[other].at.K).norm(), 1e-3);
    EXPECT_GT((found[1].covariance - found[other].covariance).norm(),
              1e-3 * alone[0].covariance.norm());
  }
}

// With kappa = 0 the start's spread is carried along: the covariance of flows from y +- a small
// step in each entry. To the part of it by which the samples tell two u of the same r apart: .002
// of 4096, less than .001 of 65536.
TEST(Fluctuations, carryTheSpreadOfTheStart) {
  const Shape shape{4, 2, 2};
  const Model model(shape, Softmax{}, flipping_spike(2, 2));
  PopulationLoss loss(world(), model, {.samples = 4096, .replicates = 1});
  const Start start = example_start();
  const FluctuationsOptions options{.end_time = 10,
                                    .output_times = {10},
                                    .dimension = 1,
                                    .starts = StartSpread{start.parameters, 1, 1, 1}};
  const FluctuationsRecord found = last_record(loss, start.parameters, options);
  const OrderTangents tangents(model, start.parameters);
  constexpr double h = 1e-4;
  Matrix growth(7, 7);
  for (std::size_t i = 0; i < 7; ++i) {
    const auto end = [&](double by) {
      const State state =
          last_record(loss, moved(start.parameters, tangents.directions()[i], by), options);
      return tangents.packed(state.order.m, state.order.r, state.parameters.b, 1);
    };
    growth.col(static_cast<Eigen::Index>(i)) = (end(h) - end(-h)) / (2 * h);
  }
  const Matrix expected = growth * growth.transpose();
  EXPECT_LT((found.spreads[0].covariance - expected).cwiseAbs().maxCoeff(),
            5e-3 * expected.cwiseAbs().maxCoeff());
}

// Of all rows against differences of what they are the derivatives of.
TEST(Sensitivities, areThoseOfTheState) {
  const Shape shape{4, 3, 2};
  Matrix S(2, 2);
  S << 1.1, 0, 0.2, 0.9;
  Model model(shape, SoftmaxOne{}, flipping_spike(2, 2), S);
  model.weight_decay = 0.4;
  PopulationLoss loss(world(), model, {.samples = 512, .replicates = 1});
  const Parameters at = full_parameters(shape);
  const OrderTangents tangents(model, at);
  const Sensitivities rows = sensitivities(model, {{at, loss.evaluate(at).gradient, Matrix()}})[0];
  constexpr double h = 1e-5;
  const auto flat = [](const Matrix& x) { return Vector(x.reshaped<Eigen::RowMajor>()); };
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    const State up = loss.state(moved(at, tangents.directions()[i], h));
    const State down = loss.state(moved(at, tangents.directions()[i], -h));
    const auto expect = [&](const char* what, const Matrix& found, auto&& number) {
      const Vector difference = (flat(number(up)) - flat(number(down))) / (2 * h);
      EXPECT_LT((found.col(static_cast<Eigen::Index>(i)) - difference).cwiseAbs().maxCoeff(), 1e-8)
          << what << " entry " << i;
    };
    expect("m", rows.m, [](const State& s) { return s.order.m; });
    expect("r", rows.r, [](const State& s) { return s.order.r; });
    expect("q", rows.q, [](const State& s) { return s.order.q; });
    expect("b", rows.b, [](const State& s) { return Matrix(s.parameters.b); });
    expect("v", rows.v, [](const State& s) { return Matrix::Constant(1, 1, s.parameters.v); });
    expect("loss", rows.loss,
           [](const State& s) { return Matrix::Constant(1, 1, s.loss.mean.loss); });
    expect("cosine", rows.cosine, [](const State& s) { return cosine_similarity(s.order.q); });
  }
}

// The variance of a sum of numbers is the sum of their covariances: of all entries of m, with the
// standard error from two replicates, |difference| / 2.
TEST(Sensitivities, giveDeviations) {
  const Shape shape{4, 3, 2};
  const Model model(shape, SoftmaxOne{}, flipping_spike(2, 2));
  const Parameters at = full_parameters(shape);
  const auto n = static_cast<Eigen::Index>(order_parameter_count(shape, model.activation));
  std::vector<Spread> spreads;
  for (const double scale : {1.0, 0.9, 1.2}) {
    const Vector deviation = scale * Vector::LinSpaced(n, 0.1, 2);
    spreads.push_back({at, Parameters::zero(shape), Matrix(deviation.cwiseAbs2().asDiagonal())});
  }
  const auto rows = sensitivities(model, spreads);
  const auto of_m = deviations(rows, &Sensitivities::m, spreads);
  ASSERT_EQ(of_m.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    const double expected =
        std::sqrt(spreads[0].covariance.diagonal()[static_cast<Eigen::Index>(i)]);
    EXPECT_NEAR(of_m[i].value, expected, 1e-12);
    EXPECT_NEAR(of_m[i].error, 0.5 * 0.3 * expected, 1e-12);
  }
  // q_11 = m_1 . m_1 + r_11, so its variance is sum_f (2 m_1f)^2 var m_1f + var r_11.
  const auto of_q = deviations(rows, &Sensitivities::q, spreads);
  ASSERT_EQ(of_q.size(), 9u);
  const Vector variance = spreads[0].covariance.diagonal();
  EXPECT_NEAR(of_q[0].value,
              std::sqrt(4 * (std::pow(at.K(0, 0), 2) * variance[0] +
                             std::pow(at.K(0, 1), 2) * variance[1]) +
                        variance[6]),
              1e-9);
}

}  // namespace
}  // namespace headflow
