// Minima of the loss: theory.md, sections 6 to 8, Props. IV.1 and IV.3.
#include <gtest/gtest.h>

#include <numeric>
#include <tuple>

#include "headflow/core/error.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/train/attention_maps.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "headflow/train/loss_moments.hpp"
#include "headflow/train/minimise.hpp"
#include "headflow/train/prune.hpp"
#include "trained_support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

double norm_of(const LossGradient& value, const Activation& activation) {
  std::vector<double> packed(value.gradient.trained_size(activation));
  value.gradient.pack(activation, packed);
  return std::sqrt(std::inner_product(packed.begin(), packed.end(), packed.begin(), 0.0));
}

TEST(Minimise, endsWhereTheGradientVanishes) {
  const Shape shape{4, 2, 2};
  for (const Activation& activation : all_activations) {
    PopulationLoss loss(world(), {shape, activation, flipping_spike(2, 2)}, sobol(4096));
    const Parameters start = noisy_start(shape, 0.1, 1, 1).parameters;
    StopAt control = never_stop(StopAt::Place::between);
    SearchLog log;
    const Minimum found = minimise(loss, start, {.gradient_tolerance = 1e-7}, control, &log);
    std::vector<double> seen;
    const std::size_t size = 1 + start.trained_size(activation);
    for (std::size_t i = 0; i < log.numbers.size(); i += size) seen.push_back(log.numbers[i]);
    EXPECT_EQ(control.asked(), std::ssize(seen));
    EXPECT_TRUE(found.converged) << name_of(activation) << ' ' << found.reason;
    EXPECT_LE(found.gradient_norm, 1e-7);
    EXPECT_EQ(found.evaluations, std::ssize(seen));
    EXPECT_EQ(seen.front(), loss.evaluate(start).loss);
    EXPECT_LE(found.loss, *std::min_element(seen.begin(), seen.end()) + 1e-12);
    const LossGradient there = loss.evaluate(found.parameters);
    EXPECT_EQ(there.loss, found.loss);
    EXPECT_NEAR(norm_of(there, activation), found.gradient_norm, 1e-14);
    EXPECT_EQ(found.parameters.b == start.b, !trained_by(activation).b);
    EXPECT_EQ(found.parameters.v == start.v, !trained_by(activation).v);
  }
}

TEST(Minimise, stopsAtItsMostEvaluations) {
  const Shape shape{4, 2, 2};
  PopulationLoss loss(world(), {shape, Softmax{}, flipping_spike(2, 2)}, sobol(1024));
  const Parameters start = noisy_start(shape, 0.1, 1, 1).parameters;
  const Minimum found = minimise(loss, start, {.most_evaluations = 10});
  EXPECT_FALSE(found.converged);
  EXPECT_GT(found.gradient_norm, 1e-6);
  EXPECT_LE(found.evaluations, 30);  // a line search is not broken off
  EXPECT_LT(found.loss, loss.evaluate(start).loss);
  const Minimum done = minimise(loss, minimise(loss, start, {}).parameters, {});
  EXPECT_TRUE(done.converged);
  EXPECT_EQ(done.evaluations, 1);
}

// The loss where the flow has come to rest is that of the minimiser from the same start.
TEST(Minimise, meetsTheFlow) {
  const Shape shape{4, 2, 2};
  for (const Activation& activation : {Activation{BayesSoftmax{}}, Activation{Softmax{}}}) {
    PopulationLoss loss(world(), {shape, activation, flipping_spike(2, 2)}, sobol(2048));
    const Start start = noisy_start(shape, 0.1, 1, 3);
    const FlowResult flow =
        run_flow(loss, start.parameters, {.end_time = 20000, .stop_gradient_norm = 1e-5},
                 {.record = [](const FlowRecord&, const Stages&) {}});
    EXPECT_EQ(flow.end, FlowEnd::small_gradient);
    const Minimum found = minimise(loss, start.parameters, {.gradient_tolerance = 1e-7});
    EXPECT_NEAR(found.loss, loss.evaluate(flow.parameters).loss, 1e-6) << name_of(activation);
  }
}

// With weight decay both go to where its pull balances the loss, dE/dK = -decay K; the loss that is
// told is E alone. Of starts and numbers of heads the least objective is chosen.
TEST(Minimise, balancesTheLossAndWeightDecay) {
  for (const Activation& activation : all_activations) {
    const Shape shape{4, 2, 2};
    Model model(shape, activation, flipping_spike(2, 2));
    PopulationLoss without(world(), model, sobol(2048));
    model.weight_decay = 0.02;
    PopulationLoss loss(world(), model, sobol(2048));
    const Start start = noisy_start(shape, 0.1, 1, 3);
    const Minimum found = minimise(loss, start.parameters, {.gradient_tolerance = 1e-7});
    EXPECT_TRUE(found.converged) << name_of(activation) << ' ' << found.reason;
    const LossGradient plain = without.evaluate(found.parameters);
    EXPECT_NEAR(found.loss, plain.loss, 1e-14);
    EXPECT_LT((plain.gradient.K + 0.02 * found.parameters.K).norm(), 1e-7);
    const FlowResult flow =
        run_flow(loss, start.parameters, {.end_time = 5000, .stop_gradient_norm = 1e-5},
                 {.record = [](const FlowRecord&, const Stages&) {}});
    EXPECT_EQ(flow.end, FlowEnd::small_gradient) << name_of(activation);
    EXPECT_NEAR(loss.evaluate(found.parameters).objective(),
                loss.evaluate(flow.parameters).objective(), 1e-6)
        << name_of(activation);
    const Minimum fewer = minimise_with_fewer_heads(loss, start.parameters, {});
    EXPECT_LE(loss.evaluate(fewer.parameters).objective(),
              loss.evaluate(found.parameters).objective() + 1e-8);
  }
}

// Of what is trained; the rest stays, and where biases stay no head is silenced. Rates do not
// matter to where a search goes.
TEST(Minimise, movesWhatIsTrained) {
  const Shape shape{4, 2, 2};
  Parameters start = noisy_start(shape, 0.1, 1, 3).parameters;
  start.b.setConstant(-0.5);
  start.v = 1.5;
  for (const auto& [k, b, v] : {std::tuple{true, 0.0, 1.0}, {true, 1.0, 0.0}, {false, 1.0, 1.0}}) {
    Model model(shape, SoftmaxOne{}, flipping_spike(2, 2));
    model.training = training_of(SoftmaxOne{}, k, b, v);
    PopulationLoss loss(world(), model, sobol(1024));
    const Minimum found = minimise(loss, start, {}),
                  fewer = minimise_with_fewer_heads(loss, start, {});
    for (const Minimum& one : {found, fewer}) {
      EXPECT_TRUE(one.converged) << one.reason;
      EXPECT_EQ(one.parameters.K == start.K, !k);
      EXPECT_EQ(one.parameters.b == start.b, b == 0);
      EXPECT_EQ(one.parameters.v == start.v, v == 0);
      EXPECT_LT(one.loss, loss.evaluate(start).loss - 1e-3);
    }
    model.training = training_of(SoftmaxOne{}, k, 7 * b, 0.1 * v);
    PopulationLoss rated(world(), model, sobol(1024));
    EXPECT_EQ(minimise(rated, start, {}).parameters.numbers(), found.parameters.numbers());
  }
}

TEST(Minimise, letsAnExceptionOut) {
  const Shape shape{4, 2, 2};
  PopulationLoss loss(world(), {shape, BayesSoftmax{}, flipping_spike(2, 2)}, sobol(1024));
  const Parameters start = noisy_start(shape, 0.1, 1, 1).parameters;
  const Minimum expected = minimise(loss, start, {});
  for (const int at : {1, 2, 7}) {
    StopAt control(at, StopAt::Place::between);
    SearchLog log;
    int saved = 0;
    EXPECT_THROW(minimise(loss, start, {}, control, &log, [&] { ++saved; }), Interrupt);
    EXPECT_EQ(control.asked(), at);
    EXPECT_EQ(saved, 1);
    EXPECT_EQ(std::ssize(log.numbers) % at, 0);
    const Minimum found = minimise(loss, start, {}, Control::none(), &log);
    EXPECT_EQ(found.parameters.K, expected.parameters.K);
    EXPECT_EQ(found.evaluations, expected.evaluations);
  }
  Parameters nowhere = start;
  nowhere.K(0, 0) = std::nan("");
  EXPECT_THROW(minimise(loss, nowhere, {}), NumericalError);
}

TEST(DistributedMinimise, hasTheBitsOfOneProcess) {
  const Communicator self = Communicator::self();
  const Shape shape{3, 2, 2};
  for (const Activation& activation : all_activations) {
    const auto found = [&](const Communicator& comm) {
      PopulationLoss loss(comm, {shape, activation, flipping_spike(2, 2)}, sobol(8 * 300));
      return minimise(loss, noisy_start(shape, 0.1, 1, 1).parameters, {.most_evaluations = 60});
    };
    const Minimum alone = found(self);
    const Minimum shared = found(world());
    EXPECT_EQ(alone.parameters.K, shared.parameters.K);
    EXPECT_EQ(alone.parameters.b, shared.parameters.b);
    EXPECT_EQ(alone.parameters.v, shared.parameters.v);
    EXPECT_EQ(alone.loss, shared.loss);
    EXPECT_EQ(alone.gradient_norm, shared.gradient_norm);
    EXPECT_EQ(alone.evaluations, shared.evaluations);
  }
}

/// The smallest loss on fresh samples (another seed) after training from noisy starts. Where v is
/// trained every second start has its heads switched off, v = H and b = -5: from v = 1, b = 0 the
/// search mostly ends in a minimum far above the best (canonical spikes, H = 4: .336 and .251).
Estimate trained_loss(const Activation& activation, const Shape& shape, const Prior& prior,
                      int starts, std::int64_t samples, Parameters* best = nullptr) {
  PopulationLoss loss(world(), {shape, activation, prior}, sobol(samples));
  PopulationLoss fresh(world(), {shape, activation, prior}, sobol(4 * samples, 32, 2));
  Estimate least{.mean = 2};
  for (int seed = 1; seed <= starts; ++seed) {
    Parameters start = noisy_start(shape, 0.3, 1, static_cast<std::uint64_t>(seed)).parameters;
    if (trained_by(activation).v && seed % 2 == 0) {
      start.v = shape.heads;
      start.b.setConstant(-5);
    }
    const Minimum found =
        minimise(loss, start, {.gradient_tolerance = 1e-5, .most_evaluations = 2000});
    const LossStatistics value = fresh.statistics(found.parameters);
    if (value.mean.loss > least.mean) continue;
    least = {value.mean.loss, value.loss_stderr};
    if (best) *best = found.parameters;
  }
  return least;
}

struct Row {
  Prior prior;
  int heads;
  double softmax, softmax_one, bayes_softmax, risk, risk_error;
};

const Prior strong_gaussian = anisotropic_gaussian(2, 10, 10);

/// theory.md section 8, L = 5; the risk of flipping nu = (10,10) is given to two digits.
const std::vector<Row> reference_table = {
    {canonical_spikes(4, 10), 1, .441, .441, .441, .14893, .0002},
    {canonical_spikes(4, 10), 2, .431, .386, .320, .14893, .0002},
    {canonical_spikes(4, 10), 4, .393, .309, .149, .14893, .0002},
    {strong_gaussian, 4, .559, .328, .232, .22434, .0002},
    {flipping_spike(10, 10), 4, .0624, .0623, .0085, .00815, .00005}};

// The trained losses of theory.md, section 8, are matched or beaten within their error, 1e-3 from
// the size of the sample set and half a unit of the last digit. None is under the Bayes risk
// (Prop. IV.1).
void check_row(const Row& row, int starts, std::int64_t samples, double slack) {
  const double table[] = {row.softmax, row.softmax_one, row.bayes_softmax};
  const Shape shape{5, row.heads, row.prior.features()};
  for (std::size_t i = 0; i < std::size(table); ++i) {
    const Estimate found = trained_loss(all_activations[i], shape, row.prior, starts, samples);
    EXPECT_LT(found.mean, table[i] + slack + 4 * found.error) << name_of(all_activations[i]);
    EXPECT_GT(found.mean, row.risk - 4.5 * std::hypot(found.error, row.risk_error));
  }
}

TEST(Minimise, reachesTheReferenceLosses) {
  for (const Row& row : reference_table) check_row(row, 3, 8192, 3e-3);
}

TEST(LongMinimise, reachesTheReferenceLosses) {
  for (const Row& row : reference_table) check_row(row, 5, 32768, 1.5e-3);
}

// Prop. IV.3, L = 4. Two softmax heads along +-theta share the attention where one of them errs:
// E > (1/2)^2 + 3 (1/6)^2 = 1/3, whatever the signal. The heads of softmax-1 switch themselves off
// there: v = H / (heads that answer) = 2, biases that fall with nu, a loss that follows the Bayes
// risk to zero.
TEST(Minimise, softmaxOneAloneFollowsOppositeDirections) {
  const Shape shape{4, 2, 1};
  double before = 1;
  for (const double nu : {4.0, 16.0, 64.0}) {
    const Prior prior = opposite_directions(nu);
    const BayesRisk risk = bayes_risk(world(), sequences(4, prior), sobol(16384), {3e-4, 1 << 20});
    EXPECT_GT(trained_loss(Softmax{}, shape, prior, 3, 4096).mean, 1.0 / 3) << nu;
    EXPECT_GT(trained_loss(Softmax{}, {4, 4, 1}, prior, 3, 4096).mean, 1.0 / 3) << nu;
    Parameters best;
    const Estimate found = trained_loss(SoftmaxOne{}, shape, prior, 3, 4096, &best);
    EXPECT_GT(found.mean, risk.risk - 4.5 * std::hypot(found.error, risk.error)) << nu;
    EXPECT_LT(found.mean, (nu < 10 ? 0.6 : 0.25) * before) << nu;
    EXPECT_NEAR(best.v, 2, 0.05) << nu;
    EXPECT_LT(best.K(0, 0) * best.K(1, 0), -0.9 * nu) << nu;
    EXPECT_LT(best.b.maxCoeff(), -0.5 * nu) << nu;
    before = found.mean;
  }
  EXPECT_LT(before, 1e-3);
}

/// The least sampled loss of a search as [train] makes it: starts of noise and of draws in turn.
double least_loss(PopulationLoss& loss, int starts) {
  const Model& model = loss.model();
  double least = 1;
  for (int i = 0; i < starts; ++i) {
    const auto seed = static_cast<std::uint64_t>(1 + i / 2);
    const Parameters start = i % 2 == 0 ? noisy_start(model.shape, 0.01, 1, seed).parameters
                                        : heads_on_draws(model.shape, model.signal, seed);
    const Minimum found = minimise_with_fewer_heads(
        loss, start, {.gradient_tolerance = 1e-4, .most_evaluations = 400});
    EXPECT_EQ(loss.evaluate(found.parameters).loss, found.loss);
    least = std::min(least, found.loss);
  }
  return least;
}

// The least losses known (theory.md, sections 8 and 13; flipping spike: lower still, .033, where
// descents from small noise end at .0617). The sample sets are worth .006.
TEST(MinimiseWithFewerHeads, findsTheLeastLossesKnown) {
  const auto check = [](int heads, const Activation& activation, const Prior& prior, double least) {
    PopulationLoss loss(world(), {{5, heads, prior.features()}, activation, prior}, sobol(2048));
    EXPECT_LT(least_loss(loss, 5), least + .006) << name_of(activation) << heads;
  };
  check(4, SoftmaxOne{}, flipping_spike(10, 10), .033);
  check(2, SoftmaxOne{}, canonical_spikes(4, 10), .386);
  check(4, SoftmaxOne{}, canonical_spikes(4, 10), .2505);
}

// A head too many is silenced: at u = 0 the loss on the same z is that of fewer heads.
TEST(MinimiseWithFewerHeads, silencesHeads) {
  PopulationLoss loss(world(), {{5, 6, 4}, SoftmaxOne{}, canonical_spikes(4, 10)}, sobol(2048));
  const Parameters start = noisy_start({5, 6, 4}, 0.5, 1, 1).parameters;
  const MinimiseOptions options{.gradient_tolerance = 1e-4, .most_evaluations = 400};
  const Minimum plain = minimise(loss, start, options);
  SearchLog log;
  const Minimum found = minimise_with_fewer_heads(loss, start, options, Control::none(), &log);
  EXPECT_LT(found.loss, plain.loss - 1e-3);
  EXPECT_EQ(std::ssize(log.numbers), found.evaluations * (1 + 6 * 10 + 6 + 1));
  int silent = 0;
  for (int h = 0; h < 6; ++h)
    if (found.parameters.b[h] < -1e5) {
      ++silent;
      EXPECT_EQ(found.parameters.K.row(h).norm(), 0);
    }
  EXPECT_GE(silent, 1);
  EXPECT_LE(silent, 3);
}

TEST(MinimiseWithFewerHeads, goesOnFromItsLog) {
  PopulationLoss loss(world(), {{4, 3, 2}, BayesSoftmax{}, flipping_spike(2, 2)}, sobol(512));
  const Parameters start = heads_on_draws({4, 3, 2}, flipping_spike(2, 2), 3);
  const MinimiseOptions options{.gradient_tolerance = 1e-3};
  const Minimum expected = minimise_with_fewer_heads(loss, start, options);
  for (const int at : {1, 20, 45}) {
    ASSERT_LT(at, expected.evaluations);
    StopAt control(at, StopAt::Place::between);
    SearchLog log;
    EXPECT_THROW(minimise_with_fewer_heads(loss, start, options, control, &log), Interrupt);
    const Minimum found = minimise_with_fewer_heads(loss, start, options, Control::none(), &log);
    EXPECT_EQ(found.parameters.K, expected.parameters.K);
    EXPECT_EQ(found.loss, expected.loss);
    EXPECT_EQ(found.evaluations, expected.evaluations);
  }
}

TEST(HeadsOnDraws, areOnAtoms) {
  const Parameters heads = heads_on_draws({5, 40, 2}, flipping_spike(9, 4), 5);
  int up = 0;
  for (int h = 0; h < 40; ++h) {
    EXPECT_NEAR(heads.K(h, 0), 3, .5);
    EXPECT_NEAR(std::abs(heads.K(h, 1)), 2, .5);
    up += heads.K(h, 1) > 0;
    EXPECT_EQ(heads.b[h], -0.5 * heads.K.row(h).squaredNorm());
  }
  EXPECT_GT(up, 8);
  EXPECT_LT(up, 32);
  EXPECT_EQ(heads.K.rightCols(40).norm(), 0);
}

// The loss of single sequences: shares by hand at zero fields, and the mean of the kernel.
TEST(LossMoments, areThoseOfTheLosses) {
  const Shape shape{4, 3, 2};
  for (const Activation& activation : all_activations) {
    const Model model(shape, activation, flipping_spike(2, 3));
    PopulationLoss loss(world(), model, sobol(8 * 300));
    const LossMoments found =
        loss_moments(world(), model, generic_parameters(shape), sobol(8 * 300));
    EXPECT_NEAR(found.mean, loss.evaluate(generic_parameters(shape)).loss, 1e-12);
    EXPECT_GT(found.share, 0.05);
    EXPECT_LT(found.share, 1);
  }
  const LossMoments equal = loss_moments(world(), {shape, Softmax{}, flipping_spike(2, 3)},
                                         Parameters::zero(shape), sobol(64));
  EXPECT_NEAR(equal.mean, 0.75, 1e-14);
  EXPECT_NEAR(equal.share, 1, 1e-14);
  // errors that are so rare that few of the samples have one
  const Prior far = flipping_spike(30, 30);
  const LossMoments rare = loss_moments(world(), {{5, 2, 2}, BayesSoftmax{}, far},
                                        bayes_parameters({5, 2, 2}, far), sobol(8192));
  EXPECT_LT(rare.share * 8192, 20);
}

}  // namespace
}  // namespace headflow
