#pragma once
#include <functional>
#include <vector>

#include "core/data_file.hpp"
#include "sections/configuration.hpp"

namespace headflow {

/// The sections of a run that look at trained attention, each with a group of the output: [train],
/// [bayes], [prune], [maps]. All members are collective.
class TrainedRun {
 public:
  /// Groups are added to `content`; `update` is called when it has grown, and summaries are printed
  /// where `talk` is true.
  TrainedRun(const Communicator& comm, const Configuration& configuration, PopulationLoss& loss,
             DataFile& content, bool talk, std::function<void()> update)
      : comm_(comm),
        configuration_(configuration),
        loss_(loss),
        content_(content),
        talk_(talk),
        update_(std::move(update)) {}

  /// Minimises from each start, or from the end of the flow. `from` holds what an earlier run has
  /// saved: finished starts, and the log of the search that it was in. `poll` is called at every
  /// evaluation: Request::stop ends, and then false is returned; `saved` gets the state after each
  /// start and in answer to a request.
  bool train(const Parameters* end_of_flow, const Snapshot& from,
             const std::function<Request()>& poll,
             const std::function<void(const Snapshot&, Request)>& saved);
  /// `poll` is asked between doublings of the samples; false when it wants to stop.
  bool bayes(const std::function<Request()>& poll);
  /// Of the trained heads, or of those at the end of the flow.
  void prune(const Parameters* end_of_flow);
  void maps(const Parameters* end_of_flow);

 private:
  /// A finished start: where it ended, and its loss on samples that it was not trained on.
  struct Trained {
    Minimum minimum;
    LossStatistics fresh;
  };
  void write_train_group();
  std::vector<Parameters> heads(const Parameters* end_of_flow) const;
  std::size_t best() const;

  const Communicator& comm_;
  const Configuration& configuration_;
  PopulationLoss& loss_;
  DataFile& content_;
  bool talk_;
  std::function<void()> update_;
  std::vector<Trained> trained_;
  DataGroup* group_ = nullptr;
};

}  // namespace headflow
