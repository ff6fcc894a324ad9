#pragma once
#include <string>
#include <utility>
#include <vector>

#include "headflow/core/data_file.hpp"
#include "headflow/flow/saddle.hpp"

namespace headflow {

/// Adds variables to a group one by one.
class GroupWriter {
 public:
  explicit GroupWriter(DataGroup& group) : group_(group) {}
  void add(const std::string& name, std::vector<std::string> axes, std::vector<double> data,
           const std::string& long_name) {
    group_.variables.push_back({name, std::move(axes), std::move(data), "1", long_name});
  }
  void add(const std::string& name, const std::vector<std::string>& axes,
           const std::vector<Measured>& numbers, const std::string& long_name) {
    std::vector<double> values, errors;
    for (const Measured& one : numbers) {
      values.push_back(one.value);
      errors.push_back(one.stderr_);
    }
    add(name, axes, values, long_name);
    add(name + "_stderr", axes, errors,
        long_name + ": standard error, from replicates of the samples");
  }

 private:
  DataGroup& group_;
};

}  // namespace headflow
