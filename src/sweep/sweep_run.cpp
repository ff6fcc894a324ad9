#include "sweep/sweep_run.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <limits>

#include "headflow/core/error.hpp"
#include "core/stopwatch.hpp"
#include "core/work_queue.hpp"
#include "sections/computation.hpp"
#include "output/provenance.hpp"
#include "app/restart.hpp"
#include "sweep/sweep_store.hpp"
#include "restart/watch.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

InputRequest request_of(const InputRequest& request, const Sweep& sweep, std::int64_t member) {
  InputRequest own = request;
  for (auto& change : sweep.changes(member)) own.overrides.push_back(std::move(change));
  return own;
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

/// A resolved input but for what differs between the parts of a sweep.
std::string without_output(const std::string& input) {
  return input.substr(0, input.find("[output]"));
}

class SweepRun {
 public:
  SweepRun(const Communicator& world, const Configuration& configuration, const Command& command,
           Checkpoints& checkpoints, const std::optional<Checkpoint>& from)
      : world_(world),
        configuration_(configuration),
        command_(command),
        checkpoints_(checkpoints),
        sweep_(configuration.sweep),
        text_(read_text(world, command.request.input)),
        groups_(group_count(sweep_, world.size())),
        group_(static_cast<int>(static_cast<std::int64_t>(world.rank()) * groups_ / world.size())),
        comm_(world.split(group_)),
        counter_(world),
        mailbox_(world),
        store_(sweep_),
        watch_(comm_,
               {.checkpoint_every = configuration.checkpoint_every,
                .wall_seconds = command.wall_seconds,
                .stop_file =
                    group_ == 0 ? fs::path(configuration.output).replace_filename("STOP") : ""}) {
    if (from) store_.read(*from->file);
    for (std::int64_t member = command.part; member < sweep_.size(); member += command.parts)
      if (!store_.done(member)) members_.push_back(member);
    content_.attributes = file_attributes();
    content_.provenance = run_provenance(world, command, configuration, from);
    content_.provenance["sweep"] = sweep_.text;
  }

  ExitCode run() {
    if (world_.root())
      fmt::print("sweep: {} members to compute on {} group{} of ranks\n", members_.size(), groups_,
                 groups_ > 1 ? "s" : "");
    bool stopped = false;
    while (!stopped) {
      std::int64_t next = comm_.root() ? counter_.fetch_add(1) : 0;
      next = comm_.max(comm_.root() ? next : std::numeric_limits<std::int64_t>::min());
      if (next >= static_cast<std::int64_t>(members_.size())) break;
      stopped = !compute(members_[static_cast<std::size_t>(next)]);
      collect();
    }
    // Nobody shall begin another member.
    if (stopped && comm_.root()) counter_.fetch_add(static_cast<std::int64_t>(members_.size()));
    if (comm_.root()) mailbox_.send("");
    while (world_.root() && closed_ < groups_) collect();
    stopped = world_.max(stopped ? 1 : 0) != 0;
    return finish(!stopped);
  }

 private:
  /// False when the run is to stop; the member is then not finished.
  bool compute(std::int64_t member) {
    const Stopwatch watch;
    MemberResult result{.member = member};
    bool finished = true;
    try {
      const Configuration own =
          configuration_of(comm_, request_of(command_.request, sweep_, member), text_, true);
      DataFile content;
      const std::optional<Checkpoint> none;
      Computation computation(
          comm_, own, content,
          {.poll = [this] { return poll(); }, .interrupt = [this] { watch_.interrupt(); }}, none);
      finished = computation.run();
      result.groups = last_values(std::move(content.groups));
    } catch (const NumericalError& error) {
      result.failure = error.what();
    }
    result.seconds = watch.seconds();
    if (finished && comm_.root()) mailbox_.send(result.packed());
    return finished;
  }

  Request poll() {
    const Request request = watch_.poll();
    save_ = save_ || request == Request::checkpoint;
    collect();
    return request == Request::stop ? request : Request::none;
  }

  /// On rank 0: takes the results that have come, and writes them when it is time.
  void collect() {
    if (!world_.root()) return;
    while (const auto message = mailbox_.receive()) {
      if (message->empty()) {
        ++closed_;
        continue;
      }
      const MemberResult result = MemberResult::unpacked(*message);
      store_.add(result);
      news_ = true;
      if (!result.failure.empty())
        fmt::print(stderr, "headflow: warning: sweep member {} has failed: {}\n",
                   name_of_member(sweep_, result.member), result.failure);
    }
    if (news_ && (save_ || since_write_.seconds() >
                               std::max(configuration_.output_every, 50 * write_seconds_)))
      write();
  }

  /// On rank 0: output and checkpoint, without the other ranks, who are busy.
  void write() {
    const Stopwatch watch;
    content_.groups = store_.groups();
    std::string failures;
    for (const auto& [member, text] : store_.failures())
      failures += name_of_member(sweep_, member) + ": " + text + "\n";
    content_.provenance["failures"] = failures;
    write_data_file(self_, configuration_.output, content_);
    checkpoints_.write_alone(self_, content_);
    save_ = news_ = false;
    write_seconds_ = watch.seconds();
    since_write_.restart();
    watch_.saved(write_seconds_);
  }

  ExitCode finish(bool finished) {
    content_.provenance[finished ? "finished" : "stopped"] = world_.broadcast(utc_now());
    world_.on_root([&] { write(); });
    const std::int64_t failed = world_.max(world_.root() ? store_.failed() : 0);
    const std::int64_t done = world_.max(world_.root() ? store_.finished() : 0);
    if (failed > 0 && failed == done) throw NumericalError("every member of the sweep has failed");
    if (world_.root()) {
      fmt::print("sweep: {} of {} members{}\n", done, sweep_.size(),
                 failed > 0 ? fmt::format(", {} of them failed", failed) : "");
      if (finished)
        fmt::print("finished: {}\n", configuration_.output);
      else
        fmt::print("stopped early ({}), state saved: the same command goes on from there\n",
                   watch_.reason().empty() ? "other ranks" : watch_.reason());
    }
    return finished ? ExitCode::finished : ExitCode::stopped_early;
  }

  const Communicator& world_;
  const Configuration& configuration_;
  const Command& command_;
  Checkpoints& checkpoints_;
  const Sweep& sweep_;
  std::string text_;  // of the input
  int groups_;
  int group_;
  Communicator comm_;  // of this group
  Communicator self_ = Communicator::self();
  SharedCounter counter_;
  Mailbox mailbox_;
  SweepStore store_;  // on rank 0
  DataFile content_;
  Watch watch_;
  std::vector<std::int64_t> members_;  // that are not finished
  int closed_ = 0;                     // groups that have ended
  bool save_ = false;                  // a checkpoint is asked for
  bool news_ = false;                  // results that are not written yet
  Stopwatch since_write_;
  double write_seconds_ = 0;
};

}  // namespace

void check_members(const Communicator& comm, const Configuration& configuration,
                   const InputRequest& request) {
  const Communicator self = Communicator::self();
  const std::string text = read_text(comm, request.input);
  std::int64_t refused = std::numeric_limits<std::int64_t>::max();
  std::string message;
  for (std::int64_t member = comm.rank(); member < configuration.sweep.size();
       member += comm.size()) {
    try {
      configuration_of(self, request_of(request, configuration.sweep, member), text, true);
    } catch (const InputError& error) {
      refused = member;
      message = fmt::format("sweep member {}: {}", name_of_member(configuration.sweep, member),
                            error.what());
      break;
    }
  }
  const std::int64_t first = -comm.max(-refused);
  if (first == std::numeric_limits<std::int64_t>::max()) return;
  throw InputError(comm.broadcast(message, static_cast<int>(first % comm.size())));
}

ExitCode run_sweep(const Communicator& comm, const Configuration& configuration,
                   const Command& command, Checkpoints& checkpoints,
                   const std::optional<Checkpoint>& from) {
  return SweepRun(comm, configuration, command, checkpoints, from).run();
}

void merge(const Communicator& comm, const Command& command) {
  comm.on_root([&] {
    const Communicator self = Communicator::self();
    require_writable_output(self, command.file, command.files[0], command.force);
    const DataReader first(command.files[0]);
    if (!first.has("provenance/sweep"))
      throw InputError(fmt::format("{} is no file of a sweep", command.files[0]));
    const std::string input = first.text("provenance/input");
    const Sweep sweep = read_sweep(input, command.files[0], {});
    SweepStore store(sweep);
    DataFile content{.attributes = file_attributes(), .provenance = {}, .groups = {}};
    std::string sources;
    for (const auto& path : command.files) {
      const DataReader file(path);
      if (!file.has("provenance/input") ||
          without_output(file.text("provenance/input")) != without_output(input))
        throw InputError(fmt::format("{} and {} are of different inputs", command.files[0], path));
      try {
        store.read(file);
      } catch (const InputError& error) {
        throw InputError(path + ": " + error.what());
      }
      sources += file.text("provenance/run_id") + " " + path + "\n";
    }
    content.groups = store.groups();
    content.provenance = {{"input", input},
                          {"sweep", sweep.text},
                          {"merged", sources},
                          {"command_line", command.command_line},
                          {"run_id", first.text("provenance/run_id")}};
    if (store.finished() == sweep.size()) content.provenance["finished"] = utc_now();
    write_data_file(self, command.file, content);
    fmt::print("merged: {} of {} members in {}\n", store.finished(), sweep.size(), command.file);
  });
}

}  // namespace headflow
