#include "headflow/model/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace headflow {
namespace {

using Law = Schedule::Law;
constexpr double pi = std::numbers::pi;

/// How many of `bounds`, which increase, are at or below `x`.
std::size_t passed(const std::vector<double>& bounds, double x) {
  return static_cast<std::size_t>(std::upper_bound(bounds.begin(), bounds.end(), x) -
                                  bounds.begin());
}

// Factor, elapsed and its inverse of each law, of the time after the warm-up.

double law_factor(const Schedule& s, double t) {
  switch (s.law) {
    case Law::constant:
      return 1;
    case Law::steps: {
      const std::size_t i = passed(s.times, t);
      return i == 0 ? 1 : s.factors[i - 1];
    }
    case Law::power:
      return std::pow(1 + t / s.scale, -s.exponent);
    case Law::cosine:
      return t >= s.length ? s.floor
                           : s.floor + 0.5 * (1 - s.floor) * (1 + std::cos(pi * t / s.length));
  }
  return 1;
}

double law_elapsed(const Schedule& s, double t) {
  switch (s.law) {
    case Law::constant:
      return t;
    case Law::steps: {
      double sum = 0, begin = 0, factor = 1;
      for (std::size_t i = 0; i < passed(s.times, t); ++i) {
        sum += (s.times[i] - begin) / factor;
        begin = s.times[i];
        factor = s.factors[i];
      }
      return sum + (t - begin) / factor;
    }
    case Law::power:
      return s.scale / (s.exponent + 1) * std::expm1((s.exponent + 1) * std::log1p(t / s.scale));
    case Law::cosine: {
      const double root = std::sqrt(s.floor);
      if (t >= s.length) return s.length / root + (t - s.length) / s.floor;
      return 2 * s.length / (pi * root) * std::atan(root * std::tan(0.5 * pi * t / s.length));
    }
  }
  return t;
}

double law_time(const Schedule& s, double elapsed) {
  switch (s.law) {
    case Law::constant:
      return elapsed;
    case Law::steps: {
      double left = elapsed, begin = 0, factor = 1;
      for (std::size_t i = 0; i < s.times.size(); ++i) {
        const double length = (s.times[i] - begin) / factor;
        if (left < length) break;
        left -= length;
        begin = s.times[i];
        factor = s.factors[i];
      }
      return begin + factor * left;
    }
    case Law::power:
      return s.scale *
             std::expm1(std::log1p((s.exponent + 1) * elapsed / s.scale) / (s.exponent + 1));
    case Law::cosine: {
      const double root = std::sqrt(s.floor), whole = s.length / root;
      if (elapsed >= whole) return s.length + s.floor * (elapsed - whole);
      return 2 * s.length / pi * std::atan(std::tan(0.5 * pi * elapsed / whole) / root);
    }
  }
  return elapsed;
}

/// elapsed(warm_up).
double elapsed_in_warm_up(const Schedule& s) {
  if (s.warm_up == 0) return 0;
  return s.warm_up_from == 1 ? s.warm_up
                             : -s.warm_up * std::log(s.warm_up_from) / (1 - s.warm_up_from);
}

}  // namespace

double Schedule::factor(double t) const {
  if (t < warm_up) return warm_up_from + (1 - warm_up_from) * t / warm_up;
  return law_factor(*this, t - warm_up);
}

double Schedule::most() const {
  return law == Law::steps ? std::max(1.0, *std::max_element(factors.begin(), factors.end())) : 1;
}

double Schedule::elapsed(double t) const {
  if (t >= warm_up) return elapsed_in_warm_up(*this) + law_elapsed(*this, t - warm_up);
  if (warm_up_from == 1) return t;
  const double slope = (1 - warm_up_from) / warm_up;
  return std::log1p(slope * t / warm_up_from) / slope;
}

double Schedule::time(double elapsed) const {
  const double in_warm_up = elapsed_in_warm_up(*this);
  if (elapsed >= in_warm_up) return warm_up + law_time(*this, elapsed - in_warm_up);
  if (warm_up_from == 1) return elapsed;
  const double slope = (1 - warm_up_from) / warm_up;
  return warm_up_from / slope * std::expm1(slope * elapsed);
}

}  // namespace headflow
