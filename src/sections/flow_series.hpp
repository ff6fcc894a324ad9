#pragma once
#include "headflow/flow/flow.hpp"
#include "sections/state_columns.hpp"

namespace headflow {

/// The variables of group `flow`: every record of a flow, one after the other, and its stages so
/// far.
class FlowSeries {
 public:
  /// Fills the empty `group`.
  FlowSeries(DataGroup& group, const Model& model, double split_threshold);

  void append(const FlowRecord& record, const Stages& stages);
  /// What SGD is compared with.
  Trajectory trajectory() const;

 private:
  /// What the columns see at an output.
  struct Row;
  static const std::vector<Column<Row>>& columns();
  static std::vector<Column<Stages>> stage_columns(double split_threshold);

  DataGroup& group_;
  SideRule rule_;
  double split_threshold_;
  std::vector<Column<Stages>> stages_;
  std::size_t first_stage_;  // its place among the variables
};

}  // namespace headflow
