#include "headflow/run/comparison.hpp"

#include <fmt/format.h>

#include <cmath>

namespace headflow {

void Comparison::sgd(const SgdRecord& record) {
  const auto found = flow_.find(record.time);
  if (found == flow_.end() || record.steps == 0) return;
  ++times_;
  replicas_ = static_cast<std::int64_t>(record.replicas.size());
  const auto count = static_cast<double>(replicas_);
  const auto compare = [&](Deviation& deviation, auto&& value) {
    double mean = 0;
    double variance = 0;
    for (const SgdState& state : record.replicas) mean += value(state) / count;
    for (const SgdState& state : record.replicas)
      variance += (value(state) - mean) * (value(state) - mean) / (count - 1);
    const double size = std::abs(mean - value(found->second));
    if (size > deviation.size) {
      deviation.size = size;
      deviation.time = record.time;
    }
    deviation.variance += variance;
    deviation.count += 1;
  };
  compare(loss_, [](const State& state) { return state.loss.mean.loss; });
  const auto compare_entries = [&](Deviation& deviation, Matrix OrderParameters::*matrix) {
    const Matrix& entries = found->second.order.*matrix;
    for (Eigen::Index i = 0; i < entries.size(); ++i)
      compare(deviation, [&](const State& state) { return (state.order.*matrix).data()[i]; });
  };
  compare_entries(m_, &OrderParameters::m);
  compare_entries(q_, &OrderParameters::q);
}

std::string Comparison::text() const {
  if (times_ == 0) return "";
  std::string text =
      fmt::format("largest deviation of SGD from the flow at {} common times\n", times_);
  for (const auto& [name, deviation] :
       {std::pair{"loss", &loss_}, std::pair{"m", &m_}, std::pair{"q", &q_}}) {
    text += fmt::format("  {:<5} {:.4f} at t = {:.4g}", name, deviation->size, deviation->time);
    if (replicas_ > 1) {
      const double spread = std::sqrt(deviation->variance / deviation->count);
      text += fmt::format(", {:.1f} times the spread {:.2g} of {} replicas",
                          deviation->size / spread, spread, replicas_);
    }
    text += "\n";
  }
  return text;
}

}  // namespace headflow
