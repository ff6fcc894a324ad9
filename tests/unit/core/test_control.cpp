// A control that stops a computation inside a step is heard in every long loop, on all ranks alike.
#include <gtest/gtest.h>

#include <bit>

#include "headflow/flow/flow.hpp"
#include "headflow/saddle/linear_growth.hpp"
#include "headflow/sgd/run_sgd.hpp"
#include "headflow/train/attention_maps.hpp"
#include "headflow/train/bayes_risk.hpp"
#include "headflow/train/minimise.hpp"
#include "headflow/train/prune.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

constexpr Shape shape{2, 1, 1};

Model model() { return {shape, Softmax{}, canonical_spikes(1, 2)}; }

/// Samples for three questions in each pass, on any number of ranks.
Sampling many() {
  return {.samples = (std::int64_t{1} << 20) * world().size(),
          .method = SamplingMethod::monte_carlo,
          .replicates = 4};
}

/// `work` is asked `questions` times, and ends at any of them with an Interrupt.
template <class Work>
void expect_heard(int questions, const char* name, Work&& work) {
  StopAt all = never_stop();
  work(all);
  EXPECT_EQ(all.asked(), questions) << name;
  for (const int last : {1, questions}) {
    StopAt control(last, StopAt::Place::within);
    EXPECT_THROW(work(control), Interrupt) << name;
    EXPECT_EQ(control.asked(), last) << name;
  }
}

TEST(DistributedControl, isHeardInEveryPassOverSamples) {
  const Communicator& comm = world();
  const Parameters point = generic_parameters(shape);
  PopulationLoss loss(comm, model(), many());
  expect_heard(3, "drawing", [&](Control& c) { PopulationLoss(comm, model(), many(), false, c); });
  expect_heard(3, "evaluate", [&](Control& c) { loss.evaluate(point, c); });
  expect_heard(3, "statistics", [&](Control& c) { loss.statistics(point, c); });
  expect_heard(3, "state", [&](Control& c) { loss.state(point, c); });
  expect_heard(3, "differentiate", [&](Control& c) { loss.differentiate(point, {point}, c); });
  expect_heard(3, "curvatures", [&](Control& c) { loss.curvatures({&point, 1}, c); });
  expect_heard(3, "prune", [&](Control& c) { prune(comm, model(), point, many(), c); });
  // Two passes over half as many samples.
  expect_heard(2, "Bayes risk", [&](Control& c) {
    bayes_risk(comm, model(), many(), {.standard_error = 1, .samples = many().samples}, c);
  });
  expect_heard(2, "maps", [&](Control& c) { attention_maps(model(), point, {150000, 1}, c); });
}

// The more work a sample takes, the more often it is asked.
TEST(DistributedControl, isHeardWhereHeadsAreMany) {
  const Shape large{8, 96, 2};
  const Model many_heads(large, Softmax{}, canonical_spikes(2, 2));
  const Parameters point = generic_parameters(large);
  const Sampling few{
      .samples = 4096 * world().size(), .method = SamplingMethod::monte_carlo, .replicates = 4};
  const auto asked = [&](auto&& work) {
    StopAt all = never_stop();
    work(all);
    return all.asked();
  };
  const auto pruned = asked([&](Control& c) { prune(world(), many_heads, point, few, c); });
  EXPECT_GE(pruned, 3) << "four blocks on each rank";
  StopAt last(pruned, StopAt::Place::within);
  EXPECT_THROW(prune(world(), many_heads, point, few, last), Interrupt);
  PopulationLoss loss(world(), many_heads, few);
  EXPECT_EQ(asked([&](Control& c) { loss.evaluate(point, c); }), 3);
  EXPECT_GT(asked([&](Control& c) { attention_maps(many_heads, point, {2000, 1}, c); }), 3);
}

TEST(DistributedControl, aSampleSetThatWasCutShortIsDrawnAgain) {
  const Parameters point = generic_parameters(shape);
  PopulationLoss loss(world(), model(), many());
  loss.resample(1);
  const double expected = loss.evaluate(point).loss;
  loss.resample(0);
  StopAt control(2, StopAt::Place::within);
  EXPECT_THROW(loss.resample(1, control), Interrupt);
  StopAt again = never_stop();
  loss.resample(1, again);
  EXPECT_EQ(again.asked(), 3);
  EXPECT_EQ(loss.evaluate(point).loss, expected);
  loss.resample(1, again);
  EXPECT_EQ(again.asked(), 3) << "the samples are there";
}

FlowOptions flow_options() {
  FlowOptions options{.end_time = 1};
  options.stepper.method = "euler";
  options.stepper.step = 0.5;
  options.output_times = {0, 0.25, 0.75, 1};
  return options;
}

struct FlowRun {
  FlowResult result;
  std::vector<FlowRecord> records;
  Snapshot saved;
};

FlowRun run(PopulationLoss& loss, Control& control, const Snapshot& from = {}) {
  FlowRun run;
  run.result = run_flow(
      loss, generic_parameters(shape), flow_options(),
      {.record = [&](const FlowRecord& record, const Stages&) { run.records.push_back(record); },
       .save = [&](const Snapshot& snapshot) { run.saved = snapshot; }},
      control, from);
  return run;
}

// Three questions in each of: the record of t = 0, then the right-hand side and the records of two
// steps, and the loss at the end of the last. Wherever it is stopped, it goes on with the same
// bits.
TEST(DistributedControl, isHeardInTheRecordsOfAFlow) {
  PopulationLoss loss(world(), model(), many());
  StopAt all = never_stop();
  const FlowRun whole = run(loss, all);
  EXPECT_EQ(all.asked(), 3 * (1 + 2 + 3 + 1));
  for (int last = 1; last <= all.asked(); last += 2) {
    StopAt control(last, StopAt::Place::within);
    const FlowRun stopped = run(loss, control);
    EXPECT_EQ(stopped.result.end, FlowEnd::requested);
    EXPECT_EQ(stopped.saved.empty(), last <= 3) << last;
    std::vector<FlowRecord> records;
    for (const FlowRecord& record : stopped.records)
      if (!stopped.saved.empty() && record.time <= stopped.saved.number("t"))
        records.push_back(record);
    const FlowRun rest = run(loss, Control::none(), stopped.saved);
    records.insert(records.end(), rest.records.begin(), rest.records.end());
    ASSERT_EQ(records.size(), whole.records.size()) << last;
    for (std::size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(records[i].time, whole.records[i].time);
      EXPECT_EQ(records[i].parameters.K, whole.records[i].parameters.K);
    }
    EXPECT_EQ(rest.result.parameters.K, whole.result.parameters.K);
  }
}

// The output that was cut short is made again from the state that was saved.
TEST(DistributedControl, isHeardInTheOutputsOfSgd) {
  const SgdProblem problem{.model = model(), .dimension = 20, .batch = 3, .learning_rate = 0.1};
  PopulationLoss loss(world(), model(), many());
  const auto run = [&](Control& control, const SgdSource* from, Snapshot& saved) {
    std::vector<SgdRecord> records;
    run_sgd(world(), problem, generic_parameters(shape), {.output_steps = {0, 5, 9}}, loss,
            {.record = [&](const SgdRecord& record) { records.push_back(record); },
             .save = [&](const SgdSaved& state) { saved = state.numbers; }},
            control, from);
    return records;
  };
  StopAt all = never_stop();
  Snapshot end;
  const auto whole = run(all, nullptr, end);
  EXPECT_EQ(all.asked(), 9);
  for (int last = 1; last <= 9; ++last) {
    StopAt control(last, StopAt::Place::within);
    Snapshot saved;
    auto records = run(control, nullptr, saved);
    EXPECT_EQ(std::ssize(records), (last - 1) / 3);
    EXPECT_EQ(saved.empty(), last <= 3);
    const SgdSource source{saved, {}};
    const auto rest = run(Control::none(), saved.empty() ? nullptr : &source, saved);
    records.insert(records.end(), rest.begin(), rest.end());
    ASSERT_EQ(records.size(), 3u) << last;
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(records[i].replicas[0].parameters.K, whole[i].replicas[0].parameters.K);
      if (i > 0) {
        EXPECT_EQ(records[i].replicas[0].batch_loss, whole[i].replicas[0].batch_loss);
      }
    }
  }
}

// A step that takes long is asked in its middle, on any number of ranks and groups of them.
// Replicas that have made it keep it: each goes on from its own step, with the same bits.
TEST(DistributedControl, isHeardInTheStepsOfSgd) {
  PopulationLoss loss(world(), model(), {.samples = 1024});
  for (const Engine engine : {Engine::direct, Engine::overlaps}) {
    const bool direct = engine == Engine::direct;
    SgdProblem problem{.model = model(),
                       .dimension = 4000,
                       .batch = (direct ? 1000 : 270000) * world().size(),
                       .learning_rate = 0.1};
    problem.engine = engine;
    struct Result {
      std::vector<SgdRecord> records;
      SgdSaved saved;
      std::vector<std::int64_t> k;
    };
    const auto run = [&](Control& control, const Result* from) {
      Result result;
      SgdSource source;
      if (from != nullptr)
        source = {from->saved.numbers, [&](IndexRange replicas, IndexRange) {
                    std::vector<double> k;
                    for (auto i = replicas.begin * 4000; i < replicas.end * 4000; ++i)
                      k.push_back(std::bit_cast<double>(from->k[static_cast<std::size_t>(i)]));
                    return k;
                  }};
      run_sgd(world(), problem, generic_parameters(shape), {.replicas = 3, .output_steps = {0, 2}},
              loss,
              {.record = [&](const SgdRecord& record) { result.records.push_back(record); },
               .save =
                   [&](const SgdSaved& saved) {
                     result.saved = saved;
                     result.k.assign(3 * 4000, 0);
                     std::size_t next = 0;
                     const SgdWeights& weights = saved.weights;
                     if (direct)
                       for (auto r = weights.replicas.begin; r < weights.replicas.end; ++r)
                         for (auto d = weights.coordinates.begin; d < weights.coordinates.end; ++d)
                           result.k[static_cast<std::size_t>(r * 4000 + d)] =
                               std::bit_cast<std::int64_t>(weights.k[next++]);
                     world().sum(result.k);
                   }},
              control, from == nullptr ? nullptr : &source);
      return result;
    };
    StopAt all = never_stop();
    const Result whole = run(all, nullptr);
    EXPECT_GE(all.asked(), 4);
    for (int last = 1; last <= all.asked(); last += 3) {
      StopAt control(last, StopAt::Place::within);
      const Result stopped = run(control, nullptr);
      EXPECT_EQ(std::ssize(stopped.records), 1);
      const Result rest = run(Control::none(), &stopped);
      ASSERT_EQ(std::ssize(rest.records), 1);
      for (std::size_t i = 0; i < 3; ++i) {
        const SgdState& one = rest.records[0].replicas[i];
        EXPECT_EQ(one.parameters.K, whole.records[1].replicas[i].parameters.K) << last;
        EXPECT_EQ(one.batch_loss, whole.records[1].replicas[i].batch_loss) << last;
      }
    }
  }
}

TEST(DistributedControl, aSearchSavesItselfWhenAnEvaluationIsCutShort) {
  PopulationLoss loss(world(), model(), many());
  StopAt control(4, StopAt::Place::within);
  SearchLog log;
  int saved = 0;
  EXPECT_THROW(minimise(loss, generic_parameters(shape), {}, control, &log, [&] { ++saved; }),
               Interrupt);
  EXPECT_EQ(saved, 1);
  EXPECT_EQ(log.numbers.size(), 1 + generic_parameters(shape).trained_size(Training(Softmax{})));
}

// A function that makes a snapshot may be kept: it makes that of its step, also after the end.
TEST(DistributedControl, theFlowOnTheManifoldGoesOnFromAnyStep) {
  const Model two({4, 2, 2}, SoftmaxOne{}, flipping_spike(2, 3));
  PopulationLoss loss(world(), two, {.samples = 1024, .replicates = 1});
  const UnspecializedManifold manifold(two);
  const Parameters start = noisy_start(two.shape, 0.01, 1, 2).parameters;
  const LinearGrowthOptions options{.end_time = 8};
  std::vector<std::function<Snapshot()>> snapshots;
  const LinearGrowth whole =
      follow_manifold(loss, manifold, start, options, Control::none(),
                      [&](const std::function<Snapshot()>& one) { snapshots.push_back(one); });
  ASSERT_GT(snapshots.size(), 4u);
  const Matrix heads = manifold.head_coordinates(start);
  for (const std::size_t i : {std::size_t{0}, snapshots.size() / 2, snapshots.size() - 1}) {
    const LinearGrowth rest =
        follow_manifold(loss, manifold, start, options, Control::none(), {}, snapshots[i]());
    EXPECT_EQ(rest.end().K, whole.end().K);
    EXPECT_EQ(rest.gradient_norm(), whole.gradient_norm());
    for (const double t : {0.1, 3.0, 8.0})
      EXPECT_EQ(rest.log_spread(heads, t), whole.log_spread(heads, t));
  }
}

}  // namespace
}  // namespace headflow
