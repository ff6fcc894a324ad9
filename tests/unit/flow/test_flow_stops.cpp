#include <gtest/gtest.h>

#include "headflow/core/error.hpp"
#include "headflow/flow/flow.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

// A method without dense output of its own evaluates right-hand sides after its last step, too: the
// state at the end. Stopped there, the last step is as if it had not begun, and the flow goes on.
TEST(FlowStops, atTheLastQuestion) {
  const Start start = noisy_start({4, 2, 2}, 0.5, 1.0, 1);
  PopulationLoss loss(world(), {{4, 2, 2}, Softmax{}, flipping_spike(2, 2)},
                      {.samples = 1 << 20, .method = SamplingMethod::monte_carlo});
  FlowOptions options{.end_time = 0.5};
  options.stepper.method = "3bs";
  Snapshot saved;
  const auto flow = [&](Control& control, const Snapshot& from = {}) {
    return run_flow(loss, start.parameters, options,
                    {.record = [](const FlowRecord&, const Stages&) {},
                     .save = [&](const Snapshot& state) { saved = state; }},
                    control, from);
  };
  StopAt counts = never_stop();
  const FlowResult whole = flow(counts);
  ASSERT_EQ(whole.end, FlowEnd::end_time);
  ASSERT_GT(counts.asked(), 0);
  StopAt last(counts.asked(), StopAt::Place::within);
  const FlowResult stopped = flow(last);
  EXPECT_EQ(stopped.end, FlowEnd::requested);
  EXPECT_LT(stopped.time, 0.5);
  EXPECT_EQ(flow(Control::none(), Snapshot(saved)).parameters.numbers(),
            whole.parameters.numbers());
}

TEST(FlowStops, namesTheLastGoodStepWhenItFails) {
  Start start = noisy_start({4, 2, 2}, 0.1, 1, 1);
  start.parameters.K(0, 0) = 1e308;
  PopulationLoss loss(world(), {{4, 2, 2}, Softmax{}, flipping_spike(2, 2)}, {.samples = 1024});
  FlowOptions options{.end_time = 1};
  try {
    run_flow(loss, start.parameters, options, {.record = [](const FlowRecord&, const Stages&) {}});
    FAIL() << "no error";
  } catch (const NumericalError& error) {
    EXPECT_NE(std::string(error.what()).find("last good step"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace headflow
