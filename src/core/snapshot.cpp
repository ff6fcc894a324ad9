#include "headflow/core/snapshot.hpp"

#include "headflow/core/error.hpp"

namespace headflow {

const std::vector<double>& Snapshot::list(const std::string& name) const {
  const auto found = lists_.find(name);
  if (found == lists_.end()) throw FileError("the saved state has no " + name);
  return found->second;
}

double Snapshot::number(const std::string& name) const {
  const auto& values = list(name);
  if (values.size() != 1) throw FileError("the saved state has no single number " + name);
  return values[0];
}

}  // namespace headflow
