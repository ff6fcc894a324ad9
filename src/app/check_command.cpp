#include <fmt/format.h>

#include <algorithm>

#include "headflow/core/petsc.hpp"
#include "core/stopwatch.hpp"
#include "app/commands.hpp"
#include "core/progress.hpp"
#include "sweep/sweep_run.hpp"

namespace headflow {
namespace {

double seconds_of(auto&& work) {
  const Stopwatch watch;
  work();
  return watch.seconds();
}

/// What a pilot with few samples on this process tells about the run.
struct Pilot {
  double seconds_per_sample = 0;   ///< of one right-hand side
  double seconds_to_generate = 0;  ///< one sample
  double right_hand_sides = 0;     ///< of the whole run
  bool extrapolated = false;       ///< the pilot was cut short
};

struct CutShort {};

/// One block of samples on this process.
PopulationLoss one_block(const Configuration& configuration, const Communicator& self) {
  Sampling sampling = configuration.sampling;
  sampling.samples = std::min(sampling.samples, block_size);
  sampling.replicates = 1;
  return PopulationLoss(self, configuration.shape, configuration.activation, configuration.signal(),
                        sampling);
}

/// The cost of drawing and evaluating samples.
Pilot measure_loss(const Configuration& configuration) {
  const Communicator self = Communicator::self();
  const auto samples = static_cast<double>(std::min(configuration.sampling.samples, block_size));
  std::optional<PopulationLoss> loss;
  Pilot pilot;
  pilot.seconds_to_generate =
      seconds_of([&] { loss.emplace(one_block(configuration, self)); }) / samples;
  loss->evaluate(configuration.start.parameters);
  pilot.seconds_per_sample =
      seconds_of([&] { loss->evaluate(configuration.start.parameters); }) / samples;
  return pilot;
}

/// The flow with one block of samples: its steps are close to those of the full flow, its
/// right-hand sides cheap.
Pilot measure(const Configuration& configuration) {
  constexpr double patience = 3;  // seconds
  Pilot pilot = measure_loss(configuration);
  const Communicator self = Communicator::self();
  PopulationLoss loss = one_block(configuration, self);

  FlowOptions options = *configuration.flow;
  options.kappa = 0;  // which changes the cost little
  options.output_times.clear();
  const Stopwatch watch;
  double reached = 0;
  std::int64_t steps = 0;
  try {
    const FlowSummary summary = run_flow(loss, configuration.start, configuration.prior, options,
                                         {.record = [](const FlowRecord&, const Stages&) {},
                                          .progress =
                                              [&](const FlowProgress& progress) {
                                                reached = progress.time;
                                                steps = progress.steps;
                                                if (watch.seconds() > patience) throw CutShort{};
                                              }});
    pilot.right_hand_sides = static_cast<double>(summary.right_hand_sides);
  } catch (const CutShort&) {
    pilot.extrapolated = true;
    const double stages = options.stepper.method == "euler" ? 1 : 6;
    pilot.right_hand_sides = stages * static_cast<double>(steps) * options.end_time / reached;
  }
  return pilot;
}

void print_flow_cost(const Communicator& comm, const Configuration& configuration) {
  const PopulationCost cost = PopulationLoss::cost(configuration.shape, configuration.signal(),
                                                   configuration.sampling, comm.size());
  const Pilot pilot = measure(configuration);
  const auto samples = static_cast<double>(cost.samples_per_rank);
  const double generate = samples * pilot.seconds_to_generate;
  const double rhs = samples * static_cast<double>(cost.images) * pilot.seconds_per_sample +
                     (cost.kept ? 0 : generate);
  const double evaluations =
      pilot.right_hand_sides + static_cast<double>(configuration.flow->output_times.size());
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
             configuration.flow->output_times.size());
  fmt::print("# the whole flow             about {} (h:mm:ss)\n",
             clock_text(evaluations * rhs + generate));
}

/// Seconds for one sequence of SGD on one rank, by a few steps with a small batch.
double seconds_per_sequence(const SgdConfiguration& sgd, const Start& start,
                            std::int64_t replicas_of_a_rank) {
  const Communicator self = Communicator::self();
  SgdProblem problem = sgd.problem;
  const bool direct = problem.engine == Engine::direct;
  problem.batch = std::min<std::int64_t>(problem.batch, direct ? 4 : 64);
  problem.learning_rate = 1e-12;
  const IndexRange replicas = {
      0, direct ? 1 : std::min<std::int64_t>(replicas_of_a_rank, lane_count<double>)};
  const auto pilot =
      make_sgd_engine(self, problem, start, sgd.options.start_seed, {start.parameters}, replicas);
  const auto ignore = [](const SgdProgress&) {};
  pilot->advance(1, ignore);
  std::int64_t steps = 0;
  const Stopwatch watch;
  double seconds = 0;
  while (seconds < 0.2) {
    pilot->advance(1 + ++steps, ignore);
    seconds = watch.seconds();
  }
  return seconds / static_cast<double>(steps * problem.batch * replicas.size());
}

/// Seconds for one evaluation of loss and gradient.
double seconds_per_evaluation(const Communicator& comm, const Configuration& configuration,
                              const Sampling& sampling) {
  const PopulationCost cost =
      PopulationLoss::cost(configuration.shape, configuration.signal(), sampling, comm.size());
  return measure_loss(configuration).seconds_per_sample *
         static_cast<double>(cost.samples_per_rank * static_cast<std::int64_t>(cost.images));
}

void print_saddle_cost(const Communicator& comm, const Configuration& configuration) {
  if (!configuration.saddle) return;
  constexpr double tangent = 3;  // a product with the Hessian, in evaluations
  const double each = seconds_per_evaluation(comm, configuration, configuration.sampling);
  const auto trained =
      static_cast<double>(configuration.start.parameters.trained_size(configuration.activation));
  fmt::print(
      "# saddle                     {:.3g} s a right-hand side, about 7 a step; twice, for the "
      "errors\n",
      each * (1 + tangent * (configuration.shape.features + 1)));
  fmt::print("# a Hessian                  {:.3g} s, 2 for the saddle and one for each plateau\n",
             each * (1 + tangent * trained));
}

void print_sgd_cost(const Communicator& comm, const Configuration& configuration) {
  const auto& [problem, options] = *configuration.sgd;
  const int groups = replica_groups(comm.size(), options.replicas, problem.batch, problem.engine);
  const std::int64_t replicas = local_range(0, options.replicas, groups).size();
  const std::int64_t sequences =
      local_range(0, problem.batch, std::max(1, comm.size() / groups)).size();
  const double each = seconds_per_sequence(*configuration.sgd, configuration.start, replicas);
  const auto steps = static_cast<double>(options.output_steps.back());
  fmt::print("# sgd                        {} steps, t = {:g}, kappa = {:.3g}\n", steps,
             problem.time(options.output_steps.back()), problem.kappa());
  fmt::print("# ranks                      {} in {} group{}; a group has up to {} replica{}\n",
             comm.size(), groups, groups > 1 ? "s" : "", replicas, replicas > 1 ? "s" : "");
  fmt::print("# memory per rank            {:.3g} GiB of {}, and about 0.1 GiB for the program\n",
             sgd_memory_gib(problem, replicas),
             problem.engine == Engine::direct ? "vectors" : "overlaps");
  fmt::print("# one sequence               {:.2f} us\n", 1e6 * each);
  const double outputs = seconds_per_evaluation(comm, configuration, configuration.sampling) *
                         static_cast<double>(options.replicas) *
                         static_cast<double>(options.output_steps.size());
  fmt::print("# {} outputs of SGD         about {} (h:mm:ss): population losses of {} replica{}\n",
             options.output_steps.size(), clock_text(outputs), options.replicas,
             options.replicas > 1 ? "s" : "");
  fmt::print("# the whole SGD              about {} (h:mm:ss)\n",
             clock_text(outputs + each * steps * static_cast<double>(sequences * replicas)));
}

/// What the searches of [train] and the fresh samples cost; the number of evaluations is a guess.
void print_trained_cost(const Communicator& comm, const Configuration& configuration) {
  if (!configuration.train) return;
  const Sampling& fresh = configuration.test_sampling;
  fmt::print(
      "# train                      {} start{}, {:.3g} s an evaluation; most searches need 20 to "
      "200\n",
      configuration.train->starts.size(), configuration.train->starts.size() > 1 ? "s" : "",
      seconds_per_evaluation(comm, configuration, configuration.sampling));
  fmt::print("# fresh samples              {}, {:.3g} s for the loss of a start\n", fresh.samples,
             seconds_per_evaluation(comm, configuration, fresh));
}

}  // namespace

void check(const Communicator& comm, const Command& command) {
  const Configuration configuration = read_configuration(comm, command.request);
  if (configuration.sweep.size() > 0) check_members(comm, configuration, command.request);
  for (const auto& file : configuration.files())
    require_writable_output(comm, file, command.request.input, true);
  const PetscSession petsc(command.petsc_options);  // collective
  if (!comm.root()) return;
  fmt::print("{}\n", configuration.resolved);
  const std::int64_t members = configuration.sweep.size();
  if (members > 0)
    fmt::print("# sweep                      {} members; for the base of them:\n", members);
  if (configuration.flow) print_flow_cost(comm, configuration);
  if (configuration.sgd) print_sgd_cost(comm, configuration);
  print_saddle_cost(comm, configuration);
  print_trained_cost(comm, configuration);
  fmt::print("# output                     {}\n", fmt::join(configuration.files(), ", "));
}

}  // namespace headflow
