#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "headflow/core/petsc.hpp"
#include "headflow/run/commands.hpp"
#include "headflow/run/progress.hpp"

namespace headflow {
namespace {

double seconds_of(auto&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// What a pilot with few samples on this process tells about the run.
struct Pilot {
  double seconds_per_sample = 0;   ///< of one right-hand side
  double seconds_to_generate = 0;  ///< one sample
  double right_hand_sides = 0;     ///< of the whole run
  bool extrapolated = false;       ///< the pilot was cut short
};

struct CutShort {};

/// The flow with one block of samples: its steps are close to those of the full flow, its
/// right-hand sides cheap.
Pilot measure(const Configuration& configuration) {
  constexpr double patience = 3;  // seconds
  const Communicator self = Communicator::self();
  Sampling sampling = configuration.sampling;
  sampling.samples = std::min(sampling.samples, block_size);
  sampling.replicates = 1;
  Pilot pilot;
  std::unique_ptr<PopulationLoss> loss;
  const double drawn = seconds_of([&] {
    loss = std::make_unique<PopulationLoss>(self, configuration.shape, configuration.activation,
                                            configuration.signal(), sampling);
  });
  pilot.seconds_to_generate = drawn / static_cast<double>(sampling.samples);
  loss->evaluate(configuration.start.parameters);
  const double evaluated = seconds_of([&] { loss->evaluate(configuration.start.parameters); });
  pilot.seconds_per_sample = evaluated / static_cast<double>(sampling.samples);

  FlowOptions options = configuration.flow;
  options.output_times.clear();
  const auto begin = std::chrono::steady_clock::now();
  double reached = 0;
  std::int64_t steps = 0;
  try {
    const FlowSummary summary = run_flow(
        *loss, configuration.start, configuration.prior.mean(), options,
        {.record = [](const FlowRecord&, const Stages&) {},
         .progress =
             [&](const FlowProgress& progress) {
               reached = progress.time;
               steps = progress.steps;
               if (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() >
                   patience)
                 throw CutShort{};
             }});
    pilot.right_hand_sides = static_cast<double>(summary.right_hand_sides);
  } catch (const CutShort&) {
    pilot.extrapolated = true;
    const double stages = configuration.flow.stepper.method == "euler" ? 1 : 6;
    pilot.right_hand_sides = stages * static_cast<double>(steps) * options.end_time / reached;
  }
  return pilot;
}

}  // namespace

void check(const Communicator& comm, const Command& command) {
  const Configuration configuration = read_configuration(comm, command.request);
  require_writable_output(comm, configuration.output, command.request.input, true);
  const PetscSession petsc(command.petsc_options);  // collective
  if (!comm.root()) return;
  fmt::print("{}\n", configuration.resolved);
  const PopulationCost cost = PopulationLoss::cost(configuration.shape, configuration.signal(),
                                                   configuration.sampling, comm.size());
  const Pilot pilot = measure(configuration);
  const auto samples = static_cast<double>(cost.samples_per_rank);
  const double generate = samples * pilot.seconds_to_generate;
  const double rhs = samples * static_cast<double>(cost.images) * pilot.seconds_per_sample +
                     (cost.kept ? 0 : generate);
  const double evaluations =
      pilot.right_hand_sides + static_cast<double>(configuration.flow.output_times.size());
  fmt::print("# ranks                      {}\n", comm.size());
  fmt::print("# samples per rank           {}{}\n", cost.samples_per_rank,
             cost.images > 1 ? fmt::format(", each with {} images", cost.images) : "");
  fmt::print(
      "# memory per rank            {:.3g} GiB of samples {}, and about 0.1 GiB for the program\n",
      cost.kept ? cost.sample_gib : 0.0, cost.kept ? "kept" : "(regenerated block by block)");
  fmt::print("# one right-hand side        {:.3g} s ({:.1f} ns a sample)\n", rhs,
             1e9 * pilot.seconds_per_sample);
  fmt::print("# right-hand sides           about {:.0f}{}, and {} outputs\n",
             pilot.right_hand_sides, pilot.extrapolated ? " (extrapolated)" : "",
             configuration.flow.output_times.size());
  fmt::print("# the whole run              about {} (h:mm:ss)\n",
             clock_text(evaluations * rhs + generate));
  fmt::print("# output                     {}\n", configuration.output);
}

}  // namespace headflow
