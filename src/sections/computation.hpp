#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "restart/checkpoints.hpp"
#include "sections/configuration.hpp"
#include "sections/saddle_run.hpp"
#include "sections/series.hpp"
#include "sections/trained_run.hpp"

namespace headflow {

/// Who runs a computation: what it is asked, and told. All but `talk` are called on every rank.
struct Host {
  std::function<Request()> poll;             ///< between steps
  std::function<void()> interrupt = [] {};   ///< inside long steps; may throw Interrupt
  std::function<void()> update = [] {};      ///< the content has grown
  std::function<void()> write = [] {};       ///< the content is to be written now
  std::function<void()> checkpoint = [] {};  ///< in answer to a Request: states() are to be saved
  bool talk = false;                         ///< whether rank 0 prints progress and summaries
};

/// Everything that an input asks for, computed in turn: [flow], [sgd], [saddle], [train], [bayes],
/// [prune], [maps]. Results are groups of `content`. With `from` it goes on where that checkpoint
/// was written.
class Computation {
 public:
  Computation(const Communicator& comm, const Configuration& configuration, DataFile& content,
              Host host, const std::optional<Checkpoint>& from);

  /// False when it was asked to stop before its end. Collective. Throws NumericalError; the content
  /// holds what there is until then.
  bool run();
  /// The states as last saved, as groups of a checkpoint.
  std::vector<DataGroup> states() const;

 private:
  /// Asks the host; what is saved in answer goes into a checkpoint.
  Request poll();
  void answer();

  bool flow();
  bool sgd();
  void begin_sgd();
  bool saddle();
  bool trained();
  void print_flow(const FlowSummary& summary, const FlowRecord& last, const Stages& stages,
                  double seconds) const;
  void print_sgd(const SgdProblem& problem, const SgdOptions& options, const SgdRecord& last,
                 double seconds) const;
  void warn_of_past_outputs(const char* section, const std::vector<double>& times,
                            const DataGroup& group, double reached) const;

  const Communicator& comm_;
  const Configuration& configuration_;
  DataFile& content_;
  Host host_;
  const std::optional<Checkpoint>& from_;
  bool talk_;  // on this rank
  PopulationLoss loss_;
  Matrix spike_gram_;
  std::optional<Parameters> end_of_flow_;
  ObservedFlow observed_;
  std::optional<SgdSeries> sgd_series_;
  std::optional<SgdSource> sgd_from_;
  DataGroup flow_state_, sgd_state_, saddle_state_, train_state_;  // as last saved
  Request request_ = Request::none;                                // what the next save answers
};

}  // namespace headflow
