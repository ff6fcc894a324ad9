#include "headflow/flow/fluctuations.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "flow/run_steps.hpp"
#include "headflow/core/error.hpp"
#include "headflow/flow/drift.hpp"
#include "headflow/flow/order_tangents.hpp"

namespace headflow {
namespace {

class Fluctuations {
 public:
  Fluctuations(PopulationLoss& loss, const Parameters& start, const FluctuationsOptions& options,
               const FluctuationsObserver& observer, Control& control)
      : loss_(loss),
        start_(start),
        options_(options),
        observer_(observer),
        control_(control),
        drift_(loss, start, options.kappa, options.schedule),
        replicates_(loss.replicates() == 1 ? 0 : static_cast<std::size_t>(loss.replicates())),
        stepper_(
            options.stepper(),
            [this](double t, std::span<const double> y, std::span<double> f) {
              with_time(t, [&] { slope(t, y, f); });
            },
            packed_start(), options.end_time) {}

  FluctuationsResult run(const Snapshot& from) {
    const bool finished = run_steps(*this, control_, from) == Ending::finished;
    return {std::min(stepper_.time(), options_.end_time), stepper_.steps(), finished};
  }

  // What run_steps asks for.

  void begin() {
    covariances_.assign(1 + replicates_, start_covariance());
    before_ = covariances_;
    const auto& times = options_.output_times;
    if (times.empty() || times[0] > 0) return;
    write_record(0, std::vector(1 + replicates_, start_), covariances_);
    ++next_output_;
  }

  void restore(const Snapshot& from) {
    stepper_.restore(from);
    const auto& numbers = from.list("covariances");
    const auto count = static_cast<std::size_t>(from.number("count"));
    const auto size = static_cast<Eigen::Index>(
        std::llround(std::sqrt(static_cast<double>(numbers.size()) / static_cast<double>(count))));
    for (std::size_t i = 0; i < count; ++i)
      covariances_.emplace_back(Eigen::Map<const Matrix>(
          &numbers[i * static_cast<std::size_t>(size * size)], size, size));
    before_ = covariances_;
    const auto& times = options_.output_times;
    next_output_ = static_cast<std::size_t>(
        std::upper_bound(times.begin(), times.end(), stepper_.time()) - times.begin());
  }

  bool last() const { return stepper_.time() >= options_.end_time; }

  void step() {
    before_ = covariances_;
    in_step_ = true;
    stepper_.step();
    const double begin = stepper_.previous_time(), h = stepper_.step_size();
    constexpr double off = 0.5 / std::numbers::sqrt3;
    first_ = dynamics(begin + (0.5 - off) * h);
    second_ = dynamics(begin + (0.5 + off) * h);
    write_records_until(std::min(stepper_.time(), options_.end_time));
    covariances_ = C_at(1);
    if (!last()) observer_.progress({stepper_.time(), last_loss_, stepper_.steps()});
  }

  void save_now() const { save(stepper_.snapshot(true), covariances_); }

  /// The state before the last step, or as it is where none has been begun.
  void save_before_step() const {
    if (in_step_)
      save(stepper_.snapshot(false), before_);
    else
      save_now();
  }

  void finish() {}

 private:
  /// The flow of all samples begins where those of the replicates do.
  std::vector<double> packed_start() const {
    const std::vector<double> one = drift_.packed(start_);
    std::vector<double> all;
    for (std::size_t i = 0; i < 1 + replicates_; ++i) all.insert(all.end(), one.begin(), one.end());
    return all;
  }

  void slope(double t, std::span<const double> y, std::span<double> f) {
    const std::size_t size = y.size() / (1 + replicates_);
    last_loss_ = drift_(t, y.first(size), f.first(size), control_).loss;
    if (replicates_ > 0) drift_.each(t, y.subspan(size), f.subspan(size), control_);
  }

  /// Of all samples, then of each replicate.
  std::vector<Parameters> points(std::span<const double> y) const {
    const std::size_t size = y.size() / (1 + replicates_);
    std::vector<Parameters> result;
    for (std::size_t i = 0; i < 1 + replicates_; ++i)
      result.push_back(drift_.unpacked(y.subspan(i * size, size)));
    return result;
  }

  Matrix start_covariance() const {
    const OrderTangents tangents(loss_.model(), start_);
    const auto n = static_cast<Eigen::Index>(tangents.size());
    if (!options_.starts) return Matrix::Zero(n, n);
    const auto& [mean, m, same, other] = *options_.starts;
    const Eigen::Index H = start_.K.rows();
    Matrix r = Matrix::Constant(H, H, other);
    r.diagonal().setConstant(same);
    return tangents.packed(Matrix::Constant(H, start_.K.cols() - H, m), r, Vector::Zero(H), 0)
        .asDiagonal();
  }

  std::vector<LinearNoise> dynamics(double t) {
    std::vector<LinearNoise> found;
    const double factor = options_.schedule.factor(t);
    with_time(t, [&] {
      const auto at = points(stepper_.interpolate(t));
      const double kappa = options_.kappa * factor;
      if (replicates_ > 0) found = linear_noises(loss_, std::span(at).subspan(1), kappa, control_);
      found.insert(found.begin(), linear_noise(loss_, at[0], kappa, control_));
    });
    for (LinearNoise& one : found) one.noise *= factor;
    return found;
  }

  /// The covariances after that part of the last step.
  std::vector<Matrix> C_at(double part) const {
    std::vector<Matrix> result = before_;
    for (std::size_t i = 0; i < result.size() && part > 0; ++i)
      result[i] = propagator(first_[i], second_[i], options_.kappa / options_.dimension,
                             stepper_.step_size(), part)(before_[i]);
    return result;
  }

  void write_records_until(double t) {
    const auto& times = options_.output_times;
    for (; next_output_ < times.size() && times[next_output_] <= t; ++next_output_) {
      const double time = times[next_output_];
      write_record(time, points(stepper_.resolve(time)),
                   C_at((time - stepper_.previous_time()) / stepper_.step_size()));
    }
  }

  void write_record(double t, const std::vector<Parameters>& at,
                    const std::vector<Matrix>& covariances) {
    FluctuationsRecord record{loss_.state(at[0], control_), t, drift_.kappa(t)};
    record.spreads.push_back({at[0], record.loss.mean.gradient, covariances[0]});
    if (replicates_ > 0) {
      const auto values = loss_.evaluate_each(std::span(at).subspan(1), control_);
      for (std::size_t r = 0; r < replicates_; ++r)
        record.spreads.push_back({at[1 + r], values[r].gradient, covariances[1 + r]});
    }
    observer_.record(record);
  }

  void save(Snapshot snapshot, const std::vector<Matrix>& covariances) const {
    std::vector<double> numbers;
    for (const Matrix& C : covariances)
      numbers.insert(numbers.end(), C.data(), C.data() + C.size());
    snapshot.put("covariances", std::move(numbers));
    snapshot.put("count", static_cast<double>(covariances.size()));
    observer_.save(snapshot);
  }

  void with_time(double t, const auto& work) {
    try {
      work();
    } catch (const NumericalError& error) {
      throw NumericalError(std::string(error.what()) + " at t = " + std::to_string(t));
    }
  }

  PopulationLoss& loss_;
  const Parameters& start_;
  const FluctuationsOptions& options_;
  const FluctuationsObserver& observer_;
  Control& control_;
  Drift drift_;
  std::size_t replicates_;  // that are followed, none where there is but one
  TimeStepper stepper_;
  std::vector<Matrix> covariances_, before_;  // the latter before the last step
  std::vector<LinearNoise> first_, second_;   // at Gauss's points of the last step
  std::size_t next_output_ = 0;
  double last_loss_ = 0;
  bool in_step_ = false;  // whether the stepper has begun the last step that was asked for
};

}  // namespace

FluctuationsResult run_fluctuations(PopulationLoss& loss, const Parameters& start,
                                    const FluctuationsOptions& options,
                                    const FluctuationsObserver& observer, Control& control,
                                    const Snapshot& from) {
  return Fluctuations(loss, start, options, observer, control).run(from);
}

}  // namespace headflow
