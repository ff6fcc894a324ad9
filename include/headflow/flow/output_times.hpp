#pragma once
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

namespace headflow {

class KeyVisitor;

enum class Spacing { linear, log };

/// At which times a computation that runs from t = 0 to its end hands out its state.
struct OutputTimes {
  std::int64_t outputs = 200;  ///< after t = 0
  Spacing spacing = Spacing::linear;
  std::optional<std::vector<double>> times{};  ///< instead of the two above

  /// `help` is that of the key outputs.
  void declare_keys(KeyVisitor& visitor, const char* help = "number of output times after t = 0");

  /// The times up to `end`, increasing. Throws InputError, with the name `key` of explicit times,
  /// when these are none, do not increase or do not stay within [0, end].
  std::vector<double> until(const char* key, double end) const;
};

/// Whether two times differ by rounding alone.
inline bool same_time(double a, double b) { return std::abs(a - b) <= 1e-12 * (a + b); }

/// Where that time, but for rounding, stands in increasing ones; the end where it does not.
std::vector<double>::const_iterator find_time(const std::vector<double>& times, double t);

/// Throws InputError with the name `key` unless `times` increase and stay within [0, end].
void require_times(const char* key, const std::vector<double>& times, double end);

/// `count` + 1 equally spaced times from 0 to `end`.
std::vector<double> linear_times(double end, int count);
/// 0, then `count` times equally spaced in log t from end / 10^4 to end.
std::vector<double> logarithmic_times(double end, int count);

}  // namespace headflow
