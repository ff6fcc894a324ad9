#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "headflow/core/control.hpp"

namespace headflow {

/// The state of a computation as it is saved and restored: named lists of numbers.
class Snapshot {
 public:
  void put(const std::string& name, std::vector<double> values) {
    lists_[name] = std::move(values);
  }
  void put(const std::string& name, double value) { lists_[name] = {value}; }

  bool empty() const { return lists_.empty(); }
  bool has(const std::string& name) const { return lists_.contains(name); }
  /// The list of that name. Throws FileError when there is none.
  const std::vector<double>& list(const std::string& name) const;
  /// The single number of that name. Throws FileError when there is none.
  double number(const std::string& name) const;
  const std::map<std::string, std::vector<double>>& lists() const { return lists_; }

 private:
  std::map<std::string, std::vector<double>> lists_;
};

}  // namespace headflow
