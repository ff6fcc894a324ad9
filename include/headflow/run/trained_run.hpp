#pragma once
#include <functional>
#include <vector>

#include "headflow/run/configuration.hpp"
#include "headflow/run/output_file.hpp"

namespace headflow {

/// The sections of a run that look at trained attention, each with a group of the output: [train],
/// [bayes], [prune], [maps]. All members are collective.
class TrainedRun {
 public:
  TrainedRun(const Communicator& comm, const Configuration& configuration, PopulationLoss& loss,
             OutputFile& file)
      : comm_(comm), configuration_(configuration), loss_(loss), file_(file) {}

  /// Minimises from each start, or from the end of the flow. `from` holds the starts that an
  /// earlier run has finished. `poll` is called at every evaluation: Request::stop ends, and then
  /// false is returned; `saved` is called after each start with what is finished.
  bool train(const Parameters* end_of_flow, const Snapshot& from,
             const std::function<Request()>& poll,
             const std::function<void(const Snapshot&, Request)>& saved);
  void bayes();
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
  OutputFile& file_;
  std::vector<Trained> trained_;
  DataGroup* group_ = nullptr;
};

}  // namespace headflow
