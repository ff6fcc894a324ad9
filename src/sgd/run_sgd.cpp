#include "headflow/sgd/run_sgd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>

#include "core/lanes.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/keys.hpp"
#include "headflow/core/statistics.hpp"
#include "sgd/sgd_engine.hpp"

namespace headflow {
namespace {

/// Which of `parts` shares of `count` items holds `item`.
int part_of(std::int64_t item, std::int64_t count, int parts) {
  int part = 0;
  while (local_range(part, count, parts).end <= item) ++part;
  return part;
}

/// The replicas of one group of ranks, and what all ranks learn of them at an output.
class Ensemble {
 public:
  Ensemble(const Communicator& world, const SgdProblem& problem, const Parameters& start,
           const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer,
           Control& control)
      : world_(world),
        groups_(replica_groups(world.size(), options.replicas, problem.batch, problem.engine)),
        group_(part_of(world.rank(), world.size(), groups_)),
        comm_(world.split(group_)),
        engine_(make_sgd_engine(comm_, problem, options.start_seed,
                                options.first.empty() ? std::vector{start} : options.first,
                                local_range(group_, options.replicas, groups_))),
        options_(options),
        loss_(loss),
        observer_(observer),
        control_(control) {}

  SgdResult run(const SgdSource* from) {
    SgdResult result{.finished = advance_to_end(from), .steps = step_, .steps_here = steps_here_};
    const SgdProblem& problem = engine_->problem();
    const auto sequences =
        static_cast<double>(steps_here_) * static_cast<double>(problem.batch * options_.replicas);
    if (steps_here_ > 0) result.microseconds = 1e6 * all_seconds_ / sequences;
    return result;
  }

 private:
  /// False when it was asked to stop before.
  bool advance_to_end(const SgdSource* from) {
    if (from != nullptr) restore(*from);
    for (const std::int64_t step : options_.output_steps) {
      const bool recorded = from != nullptr && step == step_ && step == last_output_;
      if (step < step_ || recorded) continue;
      while (step_ < step) {
        if (!advance_all(std::min(step, step_ + chunk_))) return false;
        // At the output itself the state is saved after its record.
        const Request request = step_ < step ? control_.between_steps() : Request::none;
        if (request != Request::none) save();
        if (request == Request::stop) return false;
      }
      if (!write_record()) return false;
      const bool last = step == options_.output_steps.back();
      const Request request = control_.between_steps();
      if (last || request != Request::none) save();
      if (!last && request == Request::stop) return false;
    }
    return true;
  }

  /// Hands out what an output at step_ asks for; false when that was interrupted.
  bool write_record() {
    SgdRecord record;
    try {
      record = gather();
    } catch (const Interrupt&) {
      if (step_ > 0) save();
      return false;
    }
    observer_.record(record);
    if (std::binary_search(options_.weight_steps.begin(), options_.weight_steps.end(), step_))
      observer_.weights(record, engine_->weights(local_range(
                                    world_.rank(), engine_->problem().dimension, world_.size())));
    last_output_ = timed_from_ = step_;
    seconds_ = 0;
    for (auto& run : engine_->runs()) run.loss_sum = 0;
    return true;
  }

  /// All replicas to `step`; then the next stretch is chosen to take about a second, but at most
  /// twice the steps of the last, whose time may be that of a start. False when that was
  /// interrupted: each replica is then saved at the end of the last step that it has made.
  bool advance_all(std::int64_t step) {
    const Stopwatch watch;
    try {
      StepQuestions questions = make_questions();
      engine_->advance(step, observer_.progress, questions);
      questions.finish((step - step_) * most_at_once());
    } catch (const Interrupt&) {
      agree_on_failures();
      save();
      return false;
    }
    agree_on_failures();
    const double seconds = watch.seconds();
    seconds_ += seconds;
    all_seconds_ += seconds;
    steps_here_ += step - step_;
    const double wanted =
        std::clamp(static_cast<double>(step - step_) / std::max(seconds, 1e-6), 1.0, 1e9);
    step_ = step;
    chunk_ = world_.broadcast(std::min(2 * chunk_, static_cast<std::int64_t>(wanted)));
    return true;
  }

  /// How many runs, or packs of them, the busiest group makes one step of after the other.
  std::int64_t most_at_once() const {
    const std::int64_t replicas = local_range(0, options_.replicas, groups_).size();
    const bool direct = engine_->problem().engine == Engine::direct;
    return direct ? replicas : divided_up(replicas, lane_count<double>);
  }

  /// One question for about 2^26 multiplications.
  StepQuestions make_questions() {
    const SgdProblem& problem = engine_->problem();
    const Shape& shape = problem.model.shape;
    const double L = shape.tokens, P = shape.coordinates();
    const auto lanes =
        static_cast<double>(std::min<std::int64_t>(options_.replicas, lane_count<double>));
    const double sequence = problem.engine == Engine::direct
                                ? static_cast<double>(problem.dimension) * L * (2 * P + L / 2 + 20)
                                : lanes * (100 + 20 * L * P + 10 * P * P * P);
    const std::int64_t most = divided_up(problem.batch, std::max(1, world_.size() / groups_));
    const double each =
        std::min(static_cast<double>(most), static_cast<double>(most) * sequence / 0x1p26);
    return {control_, static_cast<std::int64_t>(each), most};
  }

  /// Throws on all ranks the failure of the first replica that has one.
  void agree_on_failures() {
    const auto& runs = engine_->runs();
    const auto failed = std::find_if(runs.begin(), runs.end(),
                                     [](const auto& run) { return !run.failure.empty(); });
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    if (failed != runs.end()) first = engine_->replicas().begin + (failed - runs.begin());
    const std::int64_t mine = first;
    first = world_.min(first);
    if (first == std::numeric_limits<std::int64_t>::max()) return;
    const int owner = part_of(first, options_.replicas, groups_);
    const auto rank = static_cast<int>(local_range(owner, world_.size(), groups_).begin);
    throw NumericalError(world_.broadcast(mine == first ? failed->failure : "", rank));
  }

  /// The numbers that `values` gives of run i, of all replicas one after the other, on every rank.
  std::vector<double> of_all(auto&& values) {
    std::vector<double> mine;
    for (std::size_t i = 0; comm_.root() && i < engine_->runs().size(); ++i) {
      const std::vector<double> numbers = values(i);
      mine.insert(mine.end(), numbers.begin(), numbers.end());
    }
    return world_.all_gather(mine);
  }

  SgdRecord gather() {
    const SgdProblem& problem = engine_->problem();
    const auto steps = static_cast<double>(step_ - last_output_);
    const std::vector<double> all = of_all([&](std::size_t i) {
      const auto& run = engine_->runs()[i];
      std::vector<double> values = engine_->parameters(i).numbers();
      values.push_back(steps > 0 ? run.loss_sum / steps : run.batch_loss);
      return values;
    });
    SgdRecord record{.time = problem.time(step_),
                     .steps = step_,
                     .sequences = static_cast<double>(step_) * static_cast<double>(problem.batch),
                     .sequences_per_second = never,
                     .replicas = {}};
    const auto per_step = static_cast<double>(problem.batch * options_.replicas);
    if (steps > 0)
      record.sequences_per_second = static_cast<double>(step_ - timed_from_) * per_step / seconds_;
    const std::size_t size = all.size() / static_cast<std::size_t>(options_.replicas);
    for (std::size_t first = 0; first < all.size(); first += size) {
      const auto own = std::span(all).subspan(first, size);
      const Parameters parameters = Parameters::from_numbers(own, problem.model.shape);
      record.replicas.push_back({loss_.state(parameters, control_), own.back()});
    }
    return record;
  }

  void save() {
    SgdSaved saved{.numbers = {}, .weights = engine_->weights({0, 0})};
    saved.numbers.put("step", static_cast<double>(step_));
    saved.numbers.put("last_output", static_cast<double>(last_output_));
    saved.numbers.put("replica_steps", of_all([&](std::size_t i) {
                        return std::vector{static_cast<double>(engine_->runs()[i].steps)};
                      }));
    saved.numbers.put("replica_numbers", of_all([&](std::size_t i) {
                        std::vector<double> values = engine_->numbers(i);
                        const auto& run = engine_->runs()[i];
                        values.insert(values.end(), {run.batch_loss, run.loss_sum});
                        return values;
                      }));
    observer_.save(saved);
  }

  void restore(const SgdSource& from) {
    step_ = static_cast<std::int64_t>(from.numbers.number("step"));
    last_output_ = static_cast<std::int64_t>(from.numbers.number("last_output"));
    timed_from_ = step_;
    const std::span all = from.numbers.list("replica_numbers");
    const std::size_t size = replica_size();
    if (all.size() != size * static_cast<std::size_t>(options_.replicas))
      throw FileError("the saved state has another number of replicas");
    const std::span steps = from.numbers.list("replica_steps");
    const auto first = static_cast<std::size_t>(engine_->replicas().begin);
    for (std::size_t i = 0; i < engine_->runs().size(); ++i) {
      const auto own = all.subspan(size * (first + i), size);
      const auto step = static_cast<std::int64_t>(steps[first + i]);
      engine_->restore(i, step, own.first(size - 2), from.weights);
      engine_->runs()[i].batch_loss = own[size - 2];
      engine_->runs()[i].loss_sum = own[size - 1];
    }
  }

  /// The engine's numbers of a run, batch_loss and loss_sum.
  std::size_t replica_size() const { return engine_->numbers(0).size() + 2; }

  const Communicator& world_;
  int groups_;
  int group_;
  Communicator comm_;
  std::unique_ptr<SgdEngine> engine_;
  const SgdOptions& options_;
  PopulationLoss& loss_;
  const SgdObserver& observer_;
  Control& control_;
  std::int64_t step_ = 0;
  std::int64_t last_output_ = 0;
  std::int64_t chunk_ = 1;  // steps until the control is asked next
  std::int64_t timed_from_ = 0;
  double seconds_ = 0;  // in steps since timed_from_
  std::int64_t steps_here_ = 0;
  double all_seconds_ = 0;  // in steps_here_
};

}  // namespace

int replica_groups(int ranks, std::int64_t replicas, std::int64_t batch, Engine engine) {
  const auto work = [&](int groups) {
    const std::int64_t own = divided_up(replicas, groups);
    const std::int64_t share = divided_up(batch, std::max(1, ranks / groups));
    if (engine == Engine::direct) return own * share;
    // Vectors of sequences, and about as much as four of them for the ranks to talk in each step.
    constexpr std::int64_t lanes = lane_count<double>;
    return divided_up(own, lanes) *
           (divided_up(share * std::min(own, lanes), lanes) + (groups < ranks ? 4 : 0));
  };
  int best = 1;
  for (int groups = 1; groups <= ranks && groups <= replicas; ++groups)
    if (work(groups) <= work(best)) best = groups;  // of equal ones the most: they need not talk
  return best;
}

void SgdOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key(
      {.name = "replicas", .help = "independent runs on other sequences", .seed = Seed::count},
      replicas, {.least = 1, .most = 1e6});
}

SgdResult run_sgd(const Communicator& comm, const SgdProblem& problem, const Parameters& start,
                  const SgdOptions& options, PopulationLoss& loss, const SgdObserver& observer,
                  Control& control, const SgdSource* from) {
  return Ensemble(comm, problem, start, options, loss, observer, control).run(from);
}

}  // namespace headflow
