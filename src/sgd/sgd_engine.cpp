#include "sgd/sgd_engine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/stopwatch.hpp"
#include "headflow/core/error.hpp"
#include "sgd/direct_sgd.hpp"
#include "sgd/overlap_sgd.hpp"

namespace headflow {
namespace {

/// SGD by DirectSgd, one replica after the other.
class DirectEngine : public SgdEngine {
 public:
  DirectEngine(const Communicator& comm, const SgdProblem& problem, std::uint64_t start_seed,
               const std::vector<Parameters>& first, IndexRange replicas)
      : SgdEngine(problem, replicas), comm_(comm), sgd_(comm, problem, first[0], start_seed) {
    for (std::int64_t number = replicas.begin; number < replicas.end; ++number)
      replicas_of_sgd_.push_back(
          sgd_.replica(static_cast<std::uint32_t>(number),
                       first[first.size() > 1 ? static_cast<std::size_t>(number) : 0]));
  }

  using SgdEngine::advance;
  void advance(std::int64_t step, const std::function<void(const SgdProgress&)>& report,
               StepQuestions& questions) override {
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      Progress& run = runs_[i];
      while (run.failure.empty() && run.steps < step) {
        try {
          sgd_.step(replicas_of_sgd_[i], questions);
        } catch (const NumericalError& error) {
          fail(i, error.what());
          break;
        }
        ++run.steps;
        run.batch_loss = replicas_of_sgd_[i].batch_loss;
        run.loss_sum += run.batch_loss;
        report({problem_.time(run.steps), run.batch_loss, run.steps});
      }
    }
  }

  Parameters parameters(std::size_t i) const override {
    return sgd_.parameters(replicas_of_sgd_[i]);
  }

  /// b and v.
  std::vector<double> numbers(std::size_t i) const override {
    const SgdReplica& replica = replicas_of_sgd_[i];
    std::vector<double> numbers(replica.b.begin(), replica.b.end());
    numbers.push_back(replica.v);
    return numbers;
  }

  void restore(std::size_t i, std::int64_t step, std::span<const double> numbers,
               const SavedWeights& weights) override {
    SgdReplica& replica = replicas_of_sgd_[i];
    std::copy(numbers.begin(), numbers.end() - 1, replica.b.begin());
    replica.v = numbers.back();
    const std::int64_t number = replica.number;
    const std::vector<double> k = weights({number, number + 1}, {0, problem_.dimension});
    sgd_.set_weights(
        replica, Eigen::Map<const Matrix>(k.data(), problem_.model.shape.heads, problem_.dimension),
        step);
    runs_[i].steps = step;
  }

  SgdWeights weights(IndexRange spike_coordinates) const override {
    SgdWeights weights{.replicas = replicas(),
                       .coordinates = local_range(comm_.rank(), problem_.dimension, comm_.size()),
                       .k = {},
                       .spike_coordinates = spike_coordinates,
                       .spikes = {}};
    const auto append = [](std::vector<double>& out, const Matrix& rows, IndexRange range) {
      for (Eigen::Index row = 0; row < rows.rows(); ++row)
        out.insert(out.end(), &rows(row, 0) + range.begin, &rows(row, 0) + range.end);
    };
    for (const auto& replica : replicas_of_sgd_) append(weights.k, replica.k, weights.coordinates);
    append(weights.spikes, sgd_.spikes(), spike_coordinates);
    return weights;
  }

 private:
  const Communicator& comm_;
  DirectSgd sgd_;
  std::vector<SgdReplica> replicas_of_sgd_;
};

}  // namespace

SgdEngine::SgdEngine(const SgdProblem& problem, IndexRange replicas)
    : problem_(problem), replicas_(replicas), runs_(static_cast<std::size_t>(replicas.size())) {}

void SgdEngine::fail(std::size_t i, const std::string& reason) {
  const std::int64_t good = runs_[i].steps;
  runs_[i].failure = fmt::format(
      "SGD diverged: replica {}, step {}: {}; the last good step is {} (t = {:.6g}); lower "
      "sgd.learning_rate = {:g} (kappa = lr D / batch is {:.3g} here)",
      replicas_.begin + static_cast<std::int64_t>(i) + 1, good + 1, reason, good,
      problem_.time(good), problem_.learning_rate, problem_.kappa());
}

std::unique_ptr<SgdEngine> make_sgd_engine(const Communicator& comm, const SgdProblem& problem,
                                           std::uint64_t start_seed,
                                           const std::vector<Parameters>& first,
                                           IndexRange replicas) {
  if (problem.engine == Engine::direct)
    return std::make_unique<DirectEngine>(comm, problem, start_seed, first, replicas);
  return std::make_unique<OverlapSgd>(comm, problem, first, replicas);
}

double sgd_memory_gib(const SgdProblem& problem, std::int64_t replicas) {
  return problem.engine == Engine::direct ? DirectSgd::memory_gib(problem, replicas)
                                          : OverlapSgd::bytes(problem, replicas) / 0x1p30;
}

SgdMessages sgd_messages(const SgdProblem& problem, std::int64_t replicas, int ranks) {
  return problem.engine == Engine::direct ? DirectSgd::messages(problem, replicas)
                                          : OverlapSgd::messages(problem, replicas, ranks);
}

double seconds_per_sequence(const SgdProblem& problem, const Parameters& start,
                            std::uint64_t start_seed, std::int64_t replicas_of_a_rank) {
  const Communicator self = Communicator::self();
  const bool direct = problem.engine == Engine::direct;
  SgdProblem small = problem;
  small.batch = std::min<std::int64_t>(problem.batch, direct ? 4 : 64);
  small.learning_rate = 1e-12;
  small.schedule = {};
  // A sequence costs D numbers for each of its tokens; a million of them show how much.
  const Shape& shape = problem.model.shape;
  if (direct)
    small.dimension = std::min<std::int64_t>(
        problem.dimension,
        std::max<std::int64_t>(shape.coordinates() + shape.tokens, 1000000 / shape.tokens));
  const IndexRange replicas = {
      0, direct ? 1 : std::min<std::int64_t>(replicas_of_a_rank, lane_count<double>)};
  const auto pilot = make_sgd_engine(self, small, start_seed, {start}, replicas);
  const auto ignore = [](const SgdProgress&) {};
  pilot->advance(1, ignore);
  std::int64_t steps = 0;
  const Stopwatch watch;
  double seconds = 0;
  while (seconds < 0.2) {
    pilot->advance(1 + ++steps, ignore);
    seconds = watch.seconds();
  }
  return seconds / static_cast<double>(steps * small.batch * replicas.size()) *
         static_cast<double>(problem.dimension) / static_cast<double>(small.dimension);
}

}  // namespace headflow
