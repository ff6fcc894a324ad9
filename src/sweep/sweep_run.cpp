#include "sweep/sweep_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>

#include "core/progress.hpp"
#include "core/report.hpp"
#include "core/stopwatch.hpp"
#include "headflow/core/local_range.hpp"
#include "input/toml_text.hpp"
#include "output/output_file.hpp"
#include "output/provenance.hpp"
#include "sections/run.hpp"
#include "sweep/member_queue.hpp"
#include "sweep/sweep_store.hpp"

namespace headflow {
namespace {

/// The input of one member.
Configuration member_input(const Communicator& comm, const Sweep& sweep, std::int64_t member,
                           const InputRequest& base) {
  toml::table table = sweep.base;
  override_keys(table, sweep.changes(member));
  return Configuration(comm, base, table);
}

std::string name_of_member(const Sweep& sweep, std::int64_t member) {
  return fmt::format("{}", fmt::join(sweep.changes(member), ", "));
}

/// How many groups the ranks form.
int group_count(const Sweep& sweep, int ranks) {
  const std::int64_t automatic =
      std::max<std::int64_t>(1, ranks / std::max<std::int64_t>(1, sweep.size()));
  const std::int64_t each = sweep.ranks_per_member > 0 ? sweep.ranks_per_member : automatic;
  return std::max(1, static_cast<int>(ranks / each));
}

class SweepRun : public RunHost {
 public:
  SweepRun(const Communicator& world, const Configuration& base, const Sweep& sweep,
           const SweepRequest& request, Checkpoints& checkpoints)
      : world_(world),
        input_(base.request()),
        output_(base.output()),
        sweep_(sweep),
        request_(request),
        checkpoints_(checkpoints),
        groups_(group_count(sweep, world.size())),
        group_(static_cast<int>(static_cast<std::int64_t>(world.rank()) * groups_ / world.size())),
        comm_(world.split(group_)),
        store_(sweep, content_.groups),
        watch_(comm_, limits_of_group()) {
    world_.on_root([&] {
      for (const auto& file : request.earlier) store_.read(*file);
    });
    auto done = store_.done();
    world_.broadcast(std::span(done));
    for (std::int64_t member = request.part; member < sweep.size(); member += request.parts)
      if (done[static_cast<std::size_t>(member)] == 0) members_.push_back(member);
    queue_.emplace(world_, comm_, static_cast<std::int64_t>(members_.size()),
                   [this](const MemberResult& result) { take(result); });
    content_.attributes = file_attributes();
    content_.provenance = request.provenance;
    content_.provenance["sweep"] = sweep.text;
    if (request.parts > 1) content_.provenance["part"] = part_text();
  }

  /// Whether the output has everything that is asked for; says so.
  bool finished_already() const {
    bool finished = false;
    world_.on_root([&] {
      const std::string& path = output_.path();
      const SweepProgress all = store_.progress();
      finished = members_.empty() && !all.all_failed() && std::filesystem::exists(path) &&
                 SweepProgress::of(DataReader(path)).done == all.done;
      if (finished) print_finished("finished already");
    });
    return world_.any(finished);
  }

  ExitCode execute() {
    if (world_.root())
      fmt::print("sweep: {} to compute on {} of ranks\n", with_noun(members_.size(), "member"),
                 with_noun(groups_, "group"));
    const auto must_stop = [this] {
      write_if_due();
      return watch_.must_stop();
    };
    bool stopped = false;
    while (const auto next = next_member(must_stop)) {
      stopped = !compute(members_[static_cast<std::size_t>(*next)]);
      if (stopped) break;
      collect();
    }
    if (stopped && comm_.root()) queue_->stop();
    queue_->close(must_stop);
    return finish(!world_.any(stopped || queue_->stopped()));
  }

  // As the host of a member: checkpoints are of the sweep, not of the member.
  Request between_steps() override {
    const Request request = watch_.between_steps();
    save_ = save_ || request == Request::checkpoint;
    collect();
    return request == Request::stop ? request : Request::none;
  }
  void within_step() override {
    queue_->serve();  // other groups may wait for a member
    watch_.within_step();
  }

 private:
  std::optional<std::int64_t> next_member(const std::function<bool()>& must_stop) {
    constexpr std::int64_t none = -1;
    const std::int64_t next = comm_.broadcast(queue_->next(must_stop).value_or(none));
    if (next == none) return std::nullopt;
    return next;
  }

  /// The stop file is for the first group, which has the lock.
  Watch::Limits limits_of_group() {
    Watch::Limits limits = request_.limits;
    if (group_ > 0) limits.stop_file.clear();
    limits.stopped_elsewhere = [this] { return queue_->stopped(); };
    return limits;
  }

  /// False when the run is to stop; the member is then not finished.
  bool compute(std::int64_t member) {
    const Stopwatch watch;
    MemberResult result{.member = member};
    bool finished = true;
    try {
      Configuration own = member_input(comm_, sweep_, member, input_);
      DataFile content;
      const std::optional<Checkpoint> none;
      finished = Run(comm_, own, content, *this, none).execute();
      result.groups = last_values(std::move(content.groups));
    } catch (const NumericalError& error) {
      result.failure = error.what();
    }
    result.seconds = watch.seconds();
    if (finished) queue_->deliver(result);
    return finished;
  }

  /// On rank 0: takes the results that have come, and writes them when it is time.
  void collect() {
    queue_->serve();
    write_if_due();
  }

  void take(const MemberResult& result) {
    store_.add(result);
    news_ = true;
    progress_->update(members_.size());
    if (!result.failure.empty())
      warn(fmt::format("sweep member {} has failed: {}", name_of_member(sweep_, result.member),
                       result.failure));
  }

  /// On rank 0, which alone has news.
  void write_if_due() {
    if (news_ && (save_ || update_is_due(since_write_.seconds(), output_.every, write_seconds_)))
      write_results();
  }

  /// On rank 0: output and checkpoint, without the other ranks, who are busy.
  void write_results() {
    const Stopwatch watch;
    std::string failures;
    for (const auto& [member, text] : store_.failures())
      failures += name_of_member(sweep_, member) + ": " + text + "\n";
    content_.provenance["failures"] = failures;
    write_data_file(self_, output_.path(), content_);
    checkpoints_.write_alone(self_, content_);
    save_ = news_ = false;
    write_seconds_ = watch.seconds();
    since_write_.restart();
    watch_.saved(write_seconds_);
  }

  ExitCode finish(bool finished) {
    const SweepProgress progress = store_.progress();
    if (!finished)
      content_.provenance["stopped"] = utc_now();
    else if (progress.complete())
      content_.provenance["finished"] = utc_now();
    progress_.reset();
    world_.on_root([&] {
      write_results();
      fmt::print("sweep: {}\n", progress.text());
      if (finished)
        print_finished("finished");
      else
        fmt::print("stopped early ({}), state saved: the same command goes on from there\n",
                   watch_.reason().empty() ? "other ranks" : watch_.reason());
    });
    if (world_.any(finished && progress.all_failed()))
      throw NumericalError("every member of the sweep has failed");
    return finished ? ExitCode::finished : ExitCode::stopped_early;
  }

  std::string part_text() const { return fmt::format("{}/{}", request_.part + 1, request_.parts); }

  /// Of a part also that there is more to do.
  void print_finished(const char* how) const {
    const SweepProgress progress = store_.progress();
    if (progress.complete())
      fmt::print("{}: {}\n", how, output_.path());
    else
      fmt::print("{}: part {}; {} has {}\n", how, part_text(), output_.path(), progress.text());
  }

  const Communicator& world_;
  const InputRequest& input_;
  const OutputSection& output_;
  const Sweep& sweep_;
  const SweepRequest& request_;
  Checkpoints& checkpoints_;
  int groups_;
  int group_;
  Communicator comm_;  // of this group
  Communicator self_ = Communicator::self();
  DataFile content_;
  SweepStore store_;  // of rank 0, in the groups of the content
  Watch watch_;
  std::vector<std::int64_t> members_;             // that are not finished
  std::optional<MemberQueue> queue_;              // of places in members_
  bool save_ = false;                             // a checkpoint is asked for
  bool news_ = false;                             // results that are not written yet
  std::optional<MemberProgress> progress_{true};  // of rank 0, which alone takes results
  Stopwatch since_write_;
  double write_seconds_ = 0;
};

}  // namespace

void check_members(const Communicator& comm, const Sweep& sweep, const InputRequest& input,
                   Control& control) {
  constexpr std::int64_t share = 1000;  // members between two questions whether to stop
  constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  const Communicator self = Communicator::self();
  const std::int64_t step = sweep.repeats();
  const std::int64_t count = sweep.size() / step;
  for (std::int64_t begin = 0; begin < count; begin += share * comm.size()) {
    std::int64_t refused = none;
    std::string message;
    const std::int64_t end = std::min(count, begin + share * comm.size());
    for (std::int64_t i = begin + comm.rank(); i < end && refused == none; i += comm.size()) {
      try {
        member_input(self, sweep, i * step, input);
      } catch (const InputError& error) {
        refused = i;
        message = fmt::format("sweep member {}: {}", name_of_member(sweep, i * step), error.what());
      }
    }
    const std::int64_t first = comm.min(refused);
    if (first != none)
      throw InputError(comm.broadcast(message, static_cast<int>((first - begin) % comm.size())));
    if (end < count) control.within_step();
  }
}

double least_numbers_of_member(const Communicator& self, Configuration& input) {
  class StopsAtOnce : public RunHost {
   public:
    Request between_steps() override { return Request::stop; }
  } host;
  DataFile content;
  const std::optional<Checkpoint> none;
  Run(self, input, content, host, none).execute();
  double numbers = 2;  // done, seconds
  for (const DataGroup& group : content.groups)
    for (const Variable& variable : group.variables) {
      double size = variable.wall_time ? 0 : 1;
      for (const auto& axis : variable.axes) {
        const Dimension& dimension = group.dimension(axis);
        if (!dimension.unlimited) size *= static_cast<double>(dimension.values.size());
      }
      numbers += size;
    }
  return numbers;
}

ExitCode run_sweep(const Communicator& comm, const Configuration& base, const Sweep& sweep,
                   const SweepRequest& request, Checkpoints& checkpoints) {
  SweepRun run(comm, base, sweep, request, checkpoints);
  return run.finished_already() ? ExitCode::finished : run.execute();
}

}  // namespace headflow
