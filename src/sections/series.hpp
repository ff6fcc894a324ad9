#pragma once
#include <string>
#include <vector>

#include "core/data_file.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/saddle/saddle.hpp"
#include "headflow/sgd/run_sgd.hpp"

namespace headflow {

/// The variables of group `flow`: every record of a flow, one after the other.
class FlowSeries {
 public:
  /// Fills the empty `group`. `spike_gram` is F x F.
  FlowSeries(DataGroup& group, const Shape& shape, const Matrix& spike_gram, const Prior& prior,
             double split_threshold);
  void append(const FlowRecord& record, const Stages& stages);

 private:
  DataGroup& group_;
  SideRule rule_;
  double split_threshold_;
};

/// The variables of group `sgd`: those of the flow with a replica axis after time, their mean and
/// standard deviation over replicas, how far and how fast SGD is, and when the heads of each
/// replica split.
class SgdSeries {
 public:
  SgdSeries(DataGroup& group, const Shape& shape, const Matrix& spike_gram, double split_threshold,
            std::int64_t replicas);
  void append(const SgdRecord& record);

 private:
  void find_splits();

  DataGroup& group_;
  Shape shape_;
  double split_threshold_;
};

/// The numbers of a matrix, row by row, or of a vector.
std::vector<double> flat(const auto& x) { return {x.data(), x.data() + x.size()}; }

/// The variable of that name, which the group has.
Variable& variable(DataGroup& group, const std::string& name);

/// Adds a variable with these axes; of numbers with standard errors also NAME_stderr.
void add_variable(DataGroup& group, const std::string& name, std::vector<std::string> axes,
                  const std::string& long_name, std::vector<double> data = {});
void add_variable(DataGroup& group, const std::string& name, const std::vector<std::string>& axes,
                  const std::string& long_name, const std::vector<Measured>& numbers);

/// An axis 1, 2, .., count.
Dimension counted(const std::string& name, std::int64_t count, const std::string& long_name);

/// Fills `group` anew with the variables of a flow's states along an axis of that name.
void fill_states(DataGroup& group, const Shape& shape, const std::string& axis,
                 const std::vector<State>& states);

/// The group `sgd` of a file with the weights of one output: k(replica, head, coordinate), b, v and
/// the spikes, each rank with its part.
DataGroup weights_group(const Shape& shape, std::int64_t dimension, const SgdRecord& record,
                        const SgdWeights& weights);

/// The group `sgd_state` of a checkpoint: the numbers of the replicas and, of engine direct, k.
DataGroup sgd_state_group(const SgdProblem& problem, std::int64_t replicas, const SgdSaved& saved);

/// A part of the weights k in that group: replica, head, coordinate.
std::vector<double> read_weights(const DataReader& checkpoint, const Shape& shape,
                                 IndexRange replicas, IndexRange coordinates);

}  // namespace headflow
