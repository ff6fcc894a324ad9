#include "headflow/sgd/run_sgd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <limits>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

using Clock = std::chrono::steady_clock;

/// Which of `parts` shares of `count` items holds `item`.
int part_of(std::int64_t item, std::int64_t count, int parts) {
  int part = 0;
  while (local_range(part, count, parts).end <= item) ++part;
  return part;
}

std::int64_t divided_up(std::int64_t count, std::int64_t by) { return (count + by - 1) / by; }

/// The replicas of one group of ranks, and what all ranks learn of them at an output.
class Ensemble {
 public:
  Ensemble(const Communicator& world, const SgdProblem& problem, const Start& start,
           const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer)
      : world_(world),
        groups_(replica_groups(world.size(), options.replicas, problem.batch)),
        group_(part_of(world.rank(), world.size(), groups_)),
        comm_(world.split(group_)),
        sgd_(comm_, problem, start, options.start_seed),
        start_(start),
        options_(options),
        loss_(loss),
        observer_(observer) {
    const IndexRange mine = local_range(group_, options.replicas, groups_);
    for (std::int64_t number = mine.begin; number < mine.end; ++number)
      runs_.push_back({sgd_.replica(static_cast<std::uint32_t>(number)), 0, {}});
  }

  void run() {
    std::int64_t before = 0;
    for (const std::int64_t step : options_.output_steps) {
      const auto begin = Clock::now();
      for (auto& run : runs_) advance(run, step);
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      const SgdRecord record = gather(before, step, seconds);
      observer_.record(record);
      if (std::binary_search(options_.weight_steps.begin(), options_.weight_steps.end(), step))
        observer_.weights(record, weights());
      before = step;
    }
  }

 private:
  struct Run {
    SgdReplica replica;
    double loss_sum = 0;  // over the steps since the last output
    std::string failure;
  };

  void advance(Run& run, std::int64_t step) {
    run.loss_sum = 0;
    while (run.failure.empty() && run.replica.steps < step) {
      const std::int64_t good = run.replica.steps;
      try {
        sgd_.step(run.replica);
      } catch (const NumericalError& error) {
        run.failure = fmt::format(
            "SGD diverged: replica {}, step {}: {}; the last good step is {} (t = {:.6g}); lower "
            "sgd.learning_rate = {:g} (kappa = lr D / batch is {:.3g} here)",
            run.replica.number + 1, good + 1, error.what(), good, sgd_.problem().time(good),
            sgd_.problem().learning_rate, sgd_.problem().kappa());
      }
      run.loss_sum += run.replica.batch_loss;
      observer_.progress(
          {sgd_.problem().time(run.replica.steps), run.replica.batch_loss, run.replica.steps});
    }
  }

  /// Throws on all ranks the failure of the first replica that has one.
  void agree_on_failures() {
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    for (const auto& run : runs_)
      if (!run.failure.empty()) first = std::min<std::int64_t>(first, run.replica.number);
    first = -world_.max(-first);
    if (first == std::numeric_limits<std::int64_t>::max()) return;
    std::string message;
    for (const auto& run : runs_)
      if (run.replica.number == first) message = run.failure;
    const int owner = part_of(first, options_.replicas, groups_);
    const auto rank = static_cast<int>(local_range(owner, world_.size(), groups_).begin);
    throw NumericalError(world_.broadcast(message, rank));
  }

  /// Everything about all replicas on every rank. The numbers travel as integers, zero but from one
  /// rank, so that their sum keeps every bit.
  SgdRecord gather(std::int64_t before, std::int64_t step, double seconds) {
    agree_on_failures();
    const SgdProblem& problem = sgd_.problem();
    const auto K_size = static_cast<std::size_t>(start_.parameters.K.size());
    const auto heads = static_cast<std::size_t>(problem.shape.heads);
    const std::size_t size = K_size + heads + 2;
    std::vector<std::int64_t> numbers(size * static_cast<std::size_t>(options_.replicas), 0);
    for (const auto& run : runs_) {
      if (!comm_.root()) break;
      const Parameters parameters = sgd_.parameters(run.replica);
      std::vector<double> values(parameters.K.data(), parameters.K.data() + K_size);
      values.insert(values.end(), parameters.b.begin(), parameters.b.end());
      values.push_back(parameters.v);
      values.push_back(step > before ? run.loss_sum / static_cast<double>(step - before)
                                     : run.replica.batch_loss);
      std::transform(values.begin(), values.end(),
                     numbers.begin() + static_cast<std::ptrdiff_t>(size * run.replica.number),
                     [](double x) { return std::bit_cast<std::int64_t>(x); });
    }
    world_.sum(numbers);

    const double seen = static_cast<double>(step) * static_cast<double>(problem.batch);
    SgdRecord record{.time = problem.time(step),
                     .steps = step,
                     .sequences = seen,
                     .sequences_per_second = std::numeric_limits<double>::quiet_NaN(),
                     .replicas = {}};
    if (step > before)
      record.sequences_per_second = static_cast<double>(step - before) *
                                    static_cast<double>(problem.batch * options_.replicas) /
                                    seconds;
    for (std::int64_t replica = 0; replica < options_.replicas; ++replica) {
      const std::int64_t* next = &numbers[size * static_cast<std::size_t>(replica)];
      const auto value = [&] { return std::bit_cast<double>(*next++); };
      Parameters parameters = start_.parameters;
      for (double& x : parameters.K.reshaped<Eigen::RowMajor>()) x = value();
      for (double& x : parameters.b) x = value();
      parameters.v = value();
      record.replicas.push_back({loss_.state(parameters, start_.spike_factor), value()});
    }
    return record;
  }

  SgdWeights weights() const {
    const std::int64_t D = sgd_.problem().dimension;
    SgdWeights weights{.replicas = local_range(group_, options_.replicas, groups_),
                       .coordinates = local_range(comm_.rank(), D, comm_.size()),
                       .k = {},
                       .spike_coordinates = local_range(world_.rank(), D, world_.size()),
                       .spikes = {}};
    const auto append = [](std::vector<double>& out, const Matrix& rows, IndexRange range) {
      for (Eigen::Index row = 0; row < rows.rows(); ++row)
        out.insert(out.end(), &rows(row, 0) + range.begin, &rows(row, 0) + range.end);
    };
    for (const auto& run : runs_) append(weights.k, run.replica.k, weights.coordinates);
    append(weights.spikes, sgd_.spikes(), weights.spike_coordinates);
    return weights;
  }

  const Communicator& world_;
  int groups_;
  int group_;
  Communicator comm_;
  DirectSgd sgd_;
  const Start& start_;
  const SgdOptions& options_;
  PopulationLoss& loss_;
  const SgdObserver& observer_;
  std::vector<Run> runs_;
};

}  // namespace

int replica_groups(int ranks, std::int64_t replicas, std::int64_t batch) {
  int best = 1;
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (int groups = 1; groups <= ranks && groups <= replicas; ++groups) {
    const std::int64_t work =
        divided_up(replicas, groups) * divided_up(batch, std::max(1, ranks / groups));
    if (work > least)
      continue;  // of equal ones the most groups: ranks of different groups need not talk
    least = work;
    best = groups;
  }
  return best;
}

void run_sgd(const Communicator& comm, const SgdProblem& problem, const Start& start,
             const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer) {
  Ensemble(comm, problem, start, options, loss, observer).run();
}

}  // namespace headflow
