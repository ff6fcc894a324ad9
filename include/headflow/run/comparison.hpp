#pragma once
#include <map>
#include <string>
#include <vector>

#include "headflow/flow/flow.hpp"
#include "headflow/sgd/run_sgd.hpp"

namespace headflow {

/// How far the mean over SGD's replicas gets from the flow: the largest deviation of the loss, of
/// the entries of m and of q over all common times after the start, also in units of the replicas'
/// spread: the root mean square of the standard deviation over these entries and times.
class Comparison {
 public:
  void flow(const FlowRecord& record) { flow_[record.time] = record; }
  /// Compares with the flow's record of the same time, if there is one.
  void sgd(const SgdRecord& record);
  /// A line for each quantity, or nothing without common times.
  std::string text() const;

 private:
  struct Deviation {
    double size = 0;      ///< largest |mean - flow|
    double time = 0;      ///< when
    double variance = 0;  ///< over replicas, summed over entries and times
    double count = 0;     ///< of these
  };
  std::map<double, State> flow_;
  Deviation loss_, m_, q_;
  std::int64_t replicas_ = 0;
  std::int64_t times_ = 0;
};

}  // namespace headflow
