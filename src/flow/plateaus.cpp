#include "headflow/flow/plateaus.hpp"

#include <algorithm>

namespace headflow {

void PlateauFinder::step(double t, double speed,
                         const std::function<std::vector<double>()>& state) {
  if (slowing_) {
    if (slowest_.state.empty()) slowest_.fastest_before = speed;
    if (slowest_.state.empty() || speed <= slowest_.speed) {
      slowest_ = {t, speed, slowest_.fastest_before, speed, state()};
    } else if (speed > prominence * slowest_.speed) {
      found_.push_back(slowest_);
      found_.back().fastest_after = speed;
      slowing_ = false;
    }
    return;
  }
  double& fastest = found_.back().fastest_after;
  fastest = std::max(fastest, speed);
  if (speed > fastest / prominence) return;
  slowest_ = {t, speed, fastest, speed, state()};
  slowing_ = true;
}

std::vector<Plateau> PlateauFinder::plateaus() const {
  std::vector<Plateau> all = found_;
  if (slowing_ && !slowest_.state.empty()) all.push_back(slowest_);
  if (all.empty()) return all;
  const Plateau& first = all.front();
  const bool slowed = first.fastest_before > prominence * first.speed;
  if (!slowed && first.fastest_after < 10 * first.speed) all.erase(all.begin());
  return all;
}

void PlateauFinder::save(Snapshot& snapshot) const {
  std::vector<Plateau> all = found_;
  all.push_back(slowest_);
  std::vector<double> numbers = {slowing_ ? 1.0 : 0.0, static_cast<double>(all.size())};
  for (const Plateau& one : all) {
    numbers.insert(numbers.end(), {one.time, one.speed, one.fastest_before, one.fastest_after,
                                   static_cast<double>(one.state.size())});
    numbers.insert(numbers.end(), one.state.begin(), one.state.end());
  }
  snapshot.put("plateaus", numbers);
}

void PlateauFinder::restore(const Snapshot& snapshot) {
  const double* next = snapshot.list("plateaus").data();
  slowing_ = *next++ != 0;
  found_.resize(static_cast<std::size_t>(*next++));
  for (Plateau& one : found_) {
    for (double* number : {&one.time, &one.speed, &one.fastest_before, &one.fastest_after})
      *number = *next++;
    const auto size = static_cast<std::ptrdiff_t>(*next++);
    one.state.assign(next, next + size);
    next += size;
  }
  slowest_ = found_.back();
  found_.pop_back();
}

}  // namespace headflow
