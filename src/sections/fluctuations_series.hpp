#pragma once
#include "headflow/flow/fluctuations.hpp"
#include "sections/state_columns.hpp"

namespace headflow {

/// The variables of group `fluctuations`: those of a state of the flow, and the standard deviations
/// of SGD around it with their standard errors.
class FluctuationsSeries {
 public:
  /// Fills the empty `group`; `covariance`: also the covariance of all n entries of y.
  FluctuationsSeries(DataGroup& group, const Model& model, bool covariance);

  void append(const FluctuationsRecord& record);

 private:
  struct Row;
  static std::vector<Column<Row>> columns(bool covariance);

  DataGroup& group_;
  Model model_;
  std::vector<Column<Row>> columns_;
};

}  // namespace headflow
