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

  bool run(const SgdSource* from) {
    if (from != nullptr) restore(*from);
    for (const std::int64_t step : options_.output_steps) {
      if (step < step_ || (step == step_ && from != nullptr)) continue;
      while (step_ < step) {
        advance_all(std::min(step, step_ + chunk_));
        // At the output itself the state is saved after its record.
        const Request request = step_ < step ? observer_.poll() : Request::none;
        if (request != Request::none) save();
        if (request == Request::stop) return false;
      }
      const SgdRecord record = gather();
      observer_.record(record);
      if (std::binary_search(options_.weight_steps.begin(), options_.weight_steps.end(), step))
        observer_.weights(record, weights());
      last_output_ = step;
      seconds_ = 0;
      for (auto& run : runs_) run.loss_sum = 0;
      const bool last = step == options_.output_steps.back();
      const Request request = observer_.poll();
      if (last || request != Request::none) save();
      if (!last && request == Request::stop) return false;
    }
    return true;
  }

 private:
  struct Run {
    SgdReplica replica;
    double loss_sum = 0;  // over the steps since the last output
    std::string failure;
  };

  /// All replicas to `step`; then the next stretch is chosen to take about a second.
  void advance_all(std::int64_t step) {
    const auto begin = Clock::now();
    for (auto& run : runs_) advance(run, step);
    agree_on_failures();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    seconds_ += seconds;
    const double wanted =
        std::clamp(static_cast<double>(step - step_) / std::max(seconds, 1e-6), 1.0, 1e9);
    step_ = step;
    chunk_ = world_.max(world_.root() ? static_cast<std::int64_t>(wanted) : 0);
  }

  void advance(Run& run, std::int64_t step) {
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

  /// `size` numbers for each replica, those that `values` gives of a run, on every rank. They
  /// travel as integers, zero but from one rank, so that their sum keeps every bit.
  std::vector<double> of_all(std::size_t size, auto&& values) {
    std::vector<std::int64_t> numbers(size * static_cast<std::size_t>(options_.replicas), 0);
    for (const auto& run : runs_) {
      if (!comm_.root()) break;
      const std::vector<double> mine = values(run);
      std::transform(mine.begin(), mine.end(),
                     numbers.begin() + static_cast<std::ptrdiff_t>(size * run.replica.number),
                     [](double x) { return std::bit_cast<std::int64_t>(x); });
    }
    world_.sum(numbers);
    std::vector<double> all(numbers.size());
    std::transform(numbers.begin(), numbers.end(), all.begin(),
                   [](std::int64_t x) { return std::bit_cast<double>(x); });
    return all;
  }

  SgdRecord gather() {
    const SgdProblem& problem = sgd_.problem();
    const auto steps = static_cast<double>(step_ - last_output_);
    const auto K_size = static_cast<std::size_t>(start_.parameters.K.size());
    const std::size_t size = K_size + static_cast<std::size_t>(problem.shape.heads) + 2;
    const std::vector<double> all = of_all(size, [&](const Run& run) {
      const Parameters parameters = sgd_.parameters(run.replica);
      std::vector<double> values(parameters.K.data(), parameters.K.data() + K_size);
      values.insert(values.end(), parameters.b.begin(), parameters.b.end());
      values.push_back(parameters.v);
      values.push_back(steps > 0 ? run.loss_sum / steps : run.replica.batch_loss);
      return values;
    });
    SgdRecord record{.time = problem.time(step_),
                     .steps = step_,
                     .sequences = static_cast<double>(step_) * static_cast<double>(problem.batch),
                     .sequences_per_second = std::numeric_limits<double>::quiet_NaN(),
                     .replicas = {}};
    if (steps > 0)
      record.sequences_per_second =
          steps * static_cast<double>(problem.batch * options_.replicas) / seconds_;
    const double* next = all.data();
    for (std::int64_t replica = 0; replica < options_.replicas; ++replica) {
      Parameters parameters = start_.parameters;
      for (double& x : parameters.K.reshaped<Eigen::RowMajor>()) x = *next++;
      for (double& x : parameters.b) x = *next++;
      parameters.v = *next++;
      record.replicas.push_back({loss_.state(parameters, start_.spike_factor), *next++});
    }
    return record;
  }

  void save() {
    SgdSaved saved{.numbers = {}, .weights = weights()};
    saved.weights.spikes.clear();
    saved.numbers.put("step", static_cast<double>(step_));
    saved.numbers.put("last_output", static_cast<double>(last_output_));
    saved.numbers.put(
        "replica_numbers", of_all(replica_size(), [](const Run& run) {
          std::vector<double> values(run.replica.b.begin(), run.replica.b.end());
          values.insert(values.end(), {run.replica.v, run.replica.batch_loss, run.loss_sum});
          return values;
        }));
    observer_.save(saved);
  }

  void restore(const SgdSource& from) {
    step_ = static_cast<std::int64_t>(from.numbers.number("step"));
    last_output_ = static_cast<std::int64_t>(from.numbers.number("last_output"));
    const auto& all = from.numbers.list("replica_numbers");
    if (all.size() != replica_size() * static_cast<std::size_t>(options_.replicas))
      throw FileError("the saved state has another number of replicas");
    for (auto& run : runs_) {
      const double* next = &all[replica_size() * run.replica.number];
      for (double& b : run.replica.b) b = *next++;
      run.replica.v = *next++;
      run.replica.batch_loss = *next++;
      run.loss_sum = *next++;
      const std::vector<double> k =
          from.weights({run.replica.number, run.replica.number + 1}, {0, sgd_.problem().dimension});
      sgd_.set_weights(
          run.replica,
          Eigen::Map<const Matrix>(k.data(), sgd_.problem().shape.heads, sgd_.problem().dimension),
          step_);
    }
  }

  std::size_t replica_size() const {
    return static_cast<std::size_t>(sgd_.problem().shape.heads) + 3;
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
  std::int64_t step_ = 0;
  std::int64_t last_output_ = 0;
  std::int64_t chunk_ = 1;  // steps until the next poll
  double seconds_ = 0;      // since the last output
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

bool run_sgd(const Communicator& comm, const SgdProblem& problem, const Start& start,
             const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer,
             const SgdSource* from) {
  return Ensemble(comm, problem, start, options, loss, observer).run(from);
}

}  // namespace headflow
