// States that are saved and restored: everything after has the bits of a run that never stopped.
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>

#include <filesystem>
#include <fstream>

#include "core/checksum.hpp"
#include "headflow/core/error.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/sgd/run_sgd.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

constexpr Shape shape{4, 2, 2};

/// A stiff enough oscillator that adaptive methods reject steps.
void oscillator(double t, std::span<const double> y, std::span<double> f) {
  f[0] = y[1];
  f[1] = 10 * (1 - y[0] * y[0]) * y[1] - y[0] + std::sin(t);
}

std::vector<double> y_after(TimeStepper& stepper, int steps) {
  for (int i = 0; i < steps; ++i) stepper.step();
  auto y = stepper.state();
  y.insert(y.end(), {stepper.time(), stepper.next_step_size(),
                     static_cast<double>(stepper.rejected_steps())});
  return y;
}

TEST(TimeStepper, restoredGoesOnWithTheSameBits) {
  const std::vector<double> y0 = {2, 0};
  for (const auto& method : TimeStepper::methods())
    for (const int stop : {0, 1, 7, 40}) {
      const TimeStepper::Options options{.method = method, .tolerance = 1e-5, .step = 0.005};
      TimeStepper whole(options, oscillator, y0, 100);
      y_after(whole, stop);
      const Snapshot now = whole.snapshot(true);
      if (stop > 0) whole.interpolate(0.5 * (whole.time() + whole.previous_time()));
      const auto expected = y_after(whole, 50);
      TimeStepper second(options, oscillator, y0, 100);
      second.restore(now);
      EXPECT_EQ(y_after(second, 50), expected) << method << " stopped after " << stop;
      // The state before the last step leads to it again.
      TimeStepper third(options, oscillator, y0, 100);
      third.restore(whole.snapshot(false));
      EXPECT_EQ(y_after(third, 1), y_after(whole, 0)) << method;
    }
}

struct Records {
  std::vector<FlowRecord> records;
  Stages stages;
  Snapshot saved;
  FlowResult summary;
};

/// A flow that stops at its poll number `polls` (never: -1), from `from`.
Records flow_until(const Communicator& comm, const FlowOptions& options, int polls,
                   const Snapshot& from = {}, bool interrupt = false) {
  const Start start = noisy_start(shape, 0.2, 1, 2);
  PopulationLoss loss(comm, {shape, SoftmaxOne{}, flipping_spike(2, 2)},
                      {.samples = interrupt ? 1 << 20 : 4096}, options.kappa > 0);
  Records result;
  StopAt control(polls + 1, interrupt ? StopAt::Place::within : StopAt::Place::between);
  result.summary = run_flow(loss, start.parameters, options,
                            {.record =
                                 [&](const FlowRecord& record, const Stages& stages) {
                                   result.records.push_back(record);
                                   result.stages = stages;
                                 },
                             .save = [&](const Snapshot& snapshot) { result.saved = snapshot; }},
                            control, from);
  return result;
}

void expect_same_end(const Records& stopped, const Records& rest, const Records& whole) {
  // What was recorded after the saved state is recorded again.
  std::vector<FlowRecord> all;
  for (const auto& record : stopped.records)
    if (record.time <= stopped.saved.number("t")) all.push_back(record);
  all.insert(all.end(), rest.records.begin(), rest.records.end());
  ASSERT_EQ(all.size(), whole.records.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].time, whole.records[i].time);
    EXPECT_TRUE(all[i].parameters.K == whole.records[i].parameters.K);
    EXPECT_EQ(all[i].step_size, whole.records[i].step_size);
    EXPECT_EQ(all[i].loss.mean.loss, whole.records[i].loss.mean.loss);
  }
  EXPECT_EQ(rest.summary.steps, whole.summary.steps);
  EXPECT_EQ(rest.stages.alignment_time, whole.stages.alignment_time);
  EXPECT_EQ(rest.stages.excursions, whole.stages.excursions);
  ASSERT_EQ(rest.summary.plateaus.size(), whole.summary.plateaus.size());
  for (std::size_t i = 0; i < whole.summary.plateaus.size(); ++i) {
    EXPECT_EQ(rest.summary.plateaus[i].first, whole.summary.plateaus[i].first);
    EXPECT_EQ(rest.summary.plateaus[i].second.K, whole.summary.plateaus[i].second.K);
  }
  EXPECT_TRUE(std::equal(
      rest.stages.split_time.begin(), rest.stages.split_time.end(), whole.stages.split_time.begin(),
      [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }));
}

FlowOptions options_for(const std::string& method, double end = 30) {
  FlowOptions options{.end_time = end, .split_threshold = 0.15};
  options.stepper.method = method;
  options.stepper.step = 0.5;
  for (int i = 0; i <= 40; ++i) options.output_times.push_back(30.0 * i / 40);
  return options;
}

TEST(DistributedRestart, ofAFlowHasTheSameBits) {
  for (const std::string method : {"5dp", "3bs", "4", "euler"}) {
    FlowOptions options = options_for(method);
    if (method == "euler") options.resample = 7;
    if (method == "3bs") options.kappa = 0.3;
    const Records whole = flow_until(world(), options, -1);
    for (const int polls : {0, 3, 11}) {
      const Records stopped = flow_until(world(), options, polls);
      ASSERT_EQ(stopped.summary.end, FlowEnd::requested) << method;
      expect_same_end(stopped, flow_until(world(), options, -1, stopped.saved), whole);
    }
    // Once more from the end that it saved, and beyond an earlier end.
    expect_same_end(whole, flow_until(world(), options, -1, whole.saved), whole);
    FlowOptions earlier = options;
    earlier.end_time = 20;
    std::erase_if(earlier.output_times, [](double t) { return t > 20; });
    const Records first = flow_until(world(), earlier, -1);
    expect_same_end(first, flow_until(world(), options, -1, first.saved), whole);
  }
}

TEST(DistributedRestart, ofAnInterruptedRightHandSideHasTheSameBits) {
  FlowOptions options = options_for("5dp", 4);
  std::erase_if(options.output_times, [](double t) { return t > 4; });
  const Records whole = flow_until(world(), options, -1, {}, true);
  const Records stopped = flow_until(world(), options, 20, {}, true);
  if (stopped.summary.end != FlowEnd::requested) GTEST_SKIP() << "too few samples on each rank";
  expect_same_end(stopped, flow_until(world(), options, -1, stopped.saved, true), whole);
}

TEST(DistributedRestart, ofSgdHasTheSameBits) {
  const Start start = random_start(shape, 700, 1, false, 3);
  const SgdProblem problem{.model = {shape, SoftmaxOne{}, flipping_spike(2, 2), start.spike_factor},
                           .dimension = 700,
                           .batch = 3,
                           .learning_rate = 0.02};
  PopulationLoss loss(world(), problem.model, {.samples = 1024});
  const SgdOptions options{.replicas = 3, .output_steps = {0, 20, 33, 70}};
  // The weights on every rank, from all ranks' parts.
  const auto gather = [&](const SgdWeights& weights) {
    std::vector<std::int64_t> bits(3 * 2 * 700, 0);
    std::size_t next = 0;
    for (auto r = weights.replicas.begin; r < weights.replicas.end; ++r)
      for (int h = 0; h < 2; ++h)
        for (auto d = weights.coordinates.begin; d < weights.coordinates.end; ++d)
          bits[static_cast<std::size_t>((r * 2 + h) * 700 + d)] =
              std::bit_cast<std::int64_t>(weights.k[next++]);
    world().sum(bits);
    return bits;
  };
  struct Result {
    std::vector<SgdRecord> records;
    Snapshot numbers;
    std::vector<std::int64_t> k;
    bool finished = false;
  };
  const auto run = [&](int polls, const Result* from) {
    Result result;
    StopAt control(polls + 1, StopAt::Place::between);
    SgdSource source;
    if (from != nullptr)
      source = {from->numbers, [&](IndexRange replicas, IndexRange coordinates) {
                  EXPECT_EQ(coordinates.size(), 700);
                  std::vector<double> k(static_cast<std::size_t>(replicas.size() * 1400));
                  for (std::size_t i = 0; i < k.size(); ++i)
                    k[i] = std::bit_cast<double>(
                        from->k[static_cast<std::size_t>(replicas.begin * 1400) + i]);
                  return k;
                }};
    const SgdResult ended =
        run_sgd(world(), problem, start.parameters, options, loss,
                {.record = [&](const SgdRecord& record) { result.records.push_back(record); },
                 .save =
                     [&](const SgdSaved& saved) {
                       result.numbers = saved.numbers;
                       result.k = gather(saved.weights);
                     }},
                control, from == nullptr ? nullptr : &source);
    result.finished = ended.finished;
    return result;
  };
  const Result whole = run(-1, nullptr);
  EXPECT_TRUE(whole.finished);
  for (const int polls : {0, 1, 2}) {
    const Result stopped = run(polls, nullptr);
    EXPECT_FALSE(stopped.finished);
    const Result rest = run(-1, &stopped);
    EXPECT_TRUE(rest.finished);
    EXPECT_TRUE(rest.k == whole.k);
    auto all = stopped.records;
    all.insert(all.end(), rest.records.begin(), rest.records.end());
    ASSERT_EQ(all.size(), whole.records.size());
    for (std::size_t i = 1; i < all.size(); ++i)
      for (std::size_t r = 0; r < 3; ++r) {
        EXPECT_TRUE(all[i].replicas[r].parameters.K == whole.records[i].replicas[r].parameters.K);
        EXPECT_EQ(all[i].replicas[r].batch_loss, whole.records[i].replicas[r].batch_loss);
      }
  }
}

TEST(Checksum, breaksWithAnyChange) {
  const auto path =
      std::filesystem::temp_directory_path() / ("checksum." + std::to_string(getpid()));
  const auto write = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  };
  std::string bytes;
  for (int i = 0; i < 3000; ++i) bytes += static_cast<char>(i * i);
  write(bytes);
  EXPECT_NE(checksum_of(path), ChecksumState::intact);
  append_checksum(path);
  EXPECT_EQ(checksum_of(path), ChecksumState::intact);
  std::string whole(std::filesystem::file_size(path), '\0');
  std::ifstream(path, std::ios::binary)
      .read(whole.data(), static_cast<std::streamsize>(whole.size()));
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ (1 << i % 8));
    write(changed);
    EXPECT_NE(checksum_of(path), ChecksumState::intact) << "byte " << i;
  }
  for (std::size_t size = 0; size < whole.size(); size += 11) {
    write(whole.substr(0, size));
    EXPECT_NE(checksum_of(path), ChecksumState::intact) << "cut at " << size;
  }
  write(whole + 'x');
  EXPECT_NE(checksum_of(path), ChecksumState::intact);
  std::filesystem::remove(path);
  EXPECT_NE(checksum_of(path), ChecksumState::intact);
  EXPECT_THROW(append_checksum(path), FileError);
}

TEST(Snapshot, namesWhatItLacks) {
  Snapshot snapshot;
  snapshot.put("t", 2);
  snapshot.put("y", std::vector<double>{1, 2});
  EXPECT_EQ(snapshot.number("t"), 2);
  EXPECT_THROW(snapshot.number("y"), FileError);
  EXPECT_THROW(snapshot.list("z"), FileError);
}

}  // namespace
}  // namespace headflow
