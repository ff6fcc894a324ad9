#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/data_file.hpp"
#include "headflow/core/control.hpp"
#include "headflow/population/population_loss.hpp"
#include "restart/checkpoints.hpp"
#include "sections/configuration.hpp"

namespace headflow {

/// Who has started a run: how it is stopped, and where its results and states go. All members but
/// talks() are collective.
class RunHost : public Control {
 public:
  /// The content has grown.
  virtual void updated() {}
  /// The content is to be written now.
  virtual void write() {}
  /// `states` are to be saved with the content.
  virtual void checkpoint(const std::vector<DataGroup>& /*states*/) {}
  /// Whether rank 0 prints progress and summaries.
  virtual bool talks() const { return false; }
};

/// One run of the sections of an input, in order. It is the Control that sections hand to their
/// computations. A checkpoint holds the state of every section at its last save; of sections that
/// have not run yet, what the checkpoint had from which this run went on. All members that may
/// communicate are collective.
class Run : public Control {
 public:
  /// Results become groups of `content`. With `from` the run goes on where that checkpoint was
  /// written.
  Run(const Communicator& comm, Configuration& input, DataFile& content, RunHost& host,
      const std::optional<Checkpoint>& from);

  /// Has every section take up what the checkpoint has of it. Throws InputError where that does not
  /// fit the input. Collective.
  void resume();
  /// After resume(): at which t the sections are that know one, ": flow at t = 12.5, sgd at t = 3".
  std::string times_reached() const;
  /// False when it was asked to stop before its end. Throws NumericalError; the content holds what
  /// there is until then.
  bool execute();
  /// The state of every section, as groups of a checkpoint.
  std::vector<DataGroup> states() const;

  // For sections.

  Request between_steps() override;
  void within_step() override;
  /// The Control of work that has no state of its own: asked within a step it also answers a
  /// request for a checkpoint, with what is finished.
  Control& without_state() { return without_state_; }
  /// Keeps the state of a section (a group NAME_state) and, when one was asked for, writes a
  /// checkpoint.
  void save(DataGroup state);
  /// Whether the next save answers a request to stop.
  bool stopping() const { return pending_ == Request::stop; }
  /// Drops the state of a section that has finished and is computed anew by a run that goes on.
  void forget(const std::string& section);

  const Communicator& comm() const { return comm_; }
  const Configuration& input() const { return input_; }
  const Model& model() const { return input_.model(); }
  template <class S>
  const S& section() const {
    return std::as_const(input_).section<S>();
  }
  /// The population loss on the samples of [population], at epoch 0. Drawn when first asked for.
  PopulationLoss& loss();
  const std::optional<Checkpoint>& from() const { return from_; }
  /// What that checkpoint has of a section; empty when there is none. Collective.
  Snapshot saved_state(const std::string& section) const;

  DataGroup& add_group(const std::string& name) { return content_.add_group(name); }
  /// A group that has been added.
  DataGroup& group(const std::string& name) { return at(content_.groups, name, "no group"); }
  const DataFile& content() const { return content_; }
  RunHost& host() { return host_; }
  /// Tells the user, on stderr and in the file's provenance. What rank 0 has to say counts.
  void warn(const std::string& text);
  /// Whether this rank prints.
  bool talks() const { return host_.talks() && comm_.root(); }

 private:
  class WithoutState : public Control {
   public:
    explicit WithoutState(Run& run) : run_(run) {}
    Request between_steps() override;
    void within_step() override;

   private:
    Run& run_;
  };

  void answer();

  const Communicator& comm_;
  Configuration& input_;
  DataFile& content_;
  RunHost& host_;
  const std::optional<Checkpoint>& from_;
  WithoutState without_state_{*this};
  std::optional<PopulationLoss> loss_;
  std::map<std::string, DataGroup> states_;  // by name
  std::vector<std::string> reached_;         // of the sections that went on
  Request pending_ = Request::none;          // what the next save answers
};

}  // namespace headflow
