#include "headflow/run/sweep_run.hpp"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <limits>

#include "headflow/core/error.hpp"
#include "headflow/core/local_range.hpp"
#include "headflow/core/work_queue.hpp"
#include "headflow/run/computation.hpp"
#include "headflow/run/output_file.hpp"
#include "headflow/run/progress.hpp"
#include "headflow/run/provenance.hpp"
#include "headflow/run/restart.hpp"
#include "headflow/run/sweep_store.hpp"
#include "headflow/run/watch.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

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
        file_(world, configuration.output, configuration.output_every, file_attributes()),
        watch_(comm_,
               {.checkpoint_every = configuration.checkpoint_every,
                .wall_seconds = command.wall_seconds,
                .stop_file =
                    group_ == 0 ? fs::path(configuration.output).replace_filename("STOP") : ""}) {
    if (from) store_.read(*from->file);
    for (std::int64_t member = command.part; member < sweep_.size(); member += command.parts)
      if (!store_.done(member)) members_.push_back(member);
    auto texts = provenance(world, command.command_line, configuration.resolved);
    texts["sweep"] = sweep_.text;
    texts["restarted_from"] = "";
    texts["runs"] = from ? from->file->text("provenance/runs") + "\n" : "";
    texts["runs"] += fmt::format("{} {} {} ranks", texts["run_id"], texts["started"], world.size());
    texts.merge(identity(command, configuration));
    for (const auto& [name, text] : texts) file_.provenance(name, text);
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
    const auto begin = Clock::now();
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
    result.seconds = seconds_since(begin);
    if (finished && comm_.root()) mailbox_.send(result.packed());
    return finished;
  }

  Request poll() {
    const Request request = watch_.poll();
    if (request == Request::checkpoint) {
      save_ = true;
      watch_.saved(0);
    }
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
    if (news_ && (save_ || seconds_since(last_write_) >
                               std::max(configuration_.output_every, 50 * write_seconds_)))
      write();
  }

  /// On rank 0: output and checkpoint, without the other ranks, who are busy.
  void write() {
    const auto begin = Clock::now();
    file_.content().groups = store_.groups();
    std::string failures;
    for (const auto& [member, text] : store_.failures())
      failures += name_of_member(sweep_, member) + ": " + text + "\n";
    file_.provenance("failures", failures);
    write_data_file(self_, configuration_.output, file_.content());
    checkpoints_.write_alone(self_, file_.content());
    save_ = news_ = false;
    write_seconds_ = seconds_since(begin);
    last_write_ = Clock::now();
  }

  ExitCode finish(bool finished) {
    file_.provenance(finished ? "finished" : "stopped", world_.broadcast(utc_now()));
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
  OutputFile file_;
  Watch watch_;
  std::vector<std::int64_t> members_;  // that are not finished
  int closed_ = 0;                     // groups that have ended
  bool save_ = false;                  // a checkpoint is asked for
  bool news_ = false;                  // results that are not written yet
  Clock::time_point last_write_ = Clock::now();
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
