#include "sweep/range.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

namespace headflow {
namespace {

// Places are computed in long double, of which the 11 bits more than double cover the rounding.

/// The shortest decimal of a double, to more digits than a double has.
long double exact(double x) { return std::strtold(fmt::format("{}", x).c_str(), nullptr); }

/// The decimal with the fewest digits that is x but for the rounding of doubles as large as
/// `scale`.
double shortest(long double x, long double scale) {
  const long double error = 0x1p-53L * scale;
  if (std::abs(x) <= error) return 0;
  constexpr int always_kept = std::numeric_limits<double>::digits10;
  const auto magnitude = [](long double y) { return std::floor(std::log10(y)); };
  int digits = always_kept - 1 + static_cast<int>(magnitude(std::abs(x)) - magnitude(scale));
  for (digits = std::max(digits, 0); digits < std::numeric_limits<double>::max_digits10; ++digits) {
    const std::string text = fmt::format("{:.{}e}", x, digits);
    if (std::abs(std::strtold(text.c_str(), nullptr) - x) <= error)
      return std::strtod(text.c_str(), nullptr);
  }
  return static_cast<double>(x);
}

}  // namespace

std::vector<double> range_values(double from, double to, std::int64_t count, bool log) {
  const long double a = exact(from), b = exact(to);
  std::vector<double> values = {from};
  for (std::int64_t i = 1; i < count; ++i) {
    const long double s = static_cast<long double>(i) / static_cast<long double>(count - 1);
    const long double x = log ? a * std::pow(b / a, s) : a * (1 - s) + b * s;
    const long double scale = log ? x : std::max(std::abs(a), std::abs(b));
    values.push_back(i + 1 == count ? to : shortest(x, scale));
  }
  return values;
}

}  // namespace headflow
