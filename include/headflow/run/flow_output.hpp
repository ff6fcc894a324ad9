#pragma once
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "headflow/core/data_file.hpp"
#include "headflow/flow/flow.hpp"

namespace headflow {

/// The series of a flow in memory and their file. A series is small, so the whole file is written
/// anew at each update and replaces the last one at once: a reader, or a kill at any time, always
/// finds a complete file.
class FlowOutput {
 public:
  /// `every`: seconds between updates (never more than 2 % of the time goes into them).
  /// `spike_gram` is F x F.
  FlowOutput(const Communicator& comm, std::string path, double every, const Shape& shape,
             const Matrix& spike_gram, double split_threshold,
             std::map<std::string, std::string> attributes);

  /// Takes a record; writes the file when it is time. Collective.
  void record(const FlowRecord& record, const Stages& stages);
  /// Adds to the provenance of the next write.
  void provenance(const std::string& name, const std::string& text) {
    content_.provenance[name] = text;
  }
  /// Writes everything now. Collective.
  void write();
  /// Takes the stages known at the end.
  void stages(const Stages& stages) { stages_ = stages; }

 private:
  void append(const std::string& name, const double* values, Eigen::Index count);
  Variable& variable(const std::string& name);

  const Communicator& comm_;
  std::string path_;
  double every_;
  DataFile content_;
  Stages stages_;
  std::chrono::steady_clock::time_point last_write_;
  double write_seconds_ = 0;
};

}  // namespace headflow
