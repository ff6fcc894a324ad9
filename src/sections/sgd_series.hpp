#pragma once
#include "headflow/sgd/run_sgd.hpp"
#include "restart/checkpoints.hpp"
#include "sections/state_columns.hpp"

namespace headflow {

/// The variables of group `sgd`: those of the flow with a replica axis after time, their mean and
/// standard deviation over replicas, how far and how fast SGD is, and when the heads of each
/// replica split.
class SgdSeries {
 public:
  /// Fills the empty `group`.
  SgdSeries(DataGroup& group, const Model& model, double split_threshold, std::int64_t replicas);

  void append(const SgdRecord& record);
  /// Goes on after the records that the group has got from a checkpoint.
  void resume();
  /// A line for each feature: when heads split, the mean over the replicas in which they do, with
  /// its standard error, and how many these are: where others split later, the mean is too early.
  std::string describe_splits() const;
  /// What is compared with the flow.
  Trajectory trajectory() const;

 private:
  /// A column of the group's variables: one for each replica, and perhaps their mean and deviation.
  struct OverReplicas {
    Column<SgdState> column;
    bool averaged, compared;
  };
  static const std::vector<OverReplicas>& replica_columns();
  static const std::vector<Column<SgdRecord>>& record_columns();
  /// Looks for splits at the last record, with these spreads over heads (replica: feature).
  void find_splits(const std::vector<Vector>& spreads);

  DataGroup& group_;
  Shape shape_;
  double split_threshold_;
  std::size_t split_time_ = 0;   // its place among the variables
  std::vector<Vector> spreads_;  // of each replica, at the record before
};

/// The group `sgd` of a file with the weights of one output: k(replica, head, coordinate), b, v and
/// the spikes, each rank with its part.
DataGroup weights_group(const SgdProblem& problem, const SgdRecord& record,
                        const SgdWeights& weights);

/// The group `sgd_state` of a checkpoint: the numbers of the replicas and, of engine direct, k.
DataGroup sgd_state_group(const SgdProblem& problem, std::int64_t replicas, const SgdSaved& saved);

/// A part of the weights k in that group: replica, head, coordinate.
Values read_weights(const DataReader& checkpoint, const Shape& shape, IndexRange replicas,
                    IndexRange coordinates);

}  // namespace headflow
