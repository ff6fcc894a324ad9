#pragma once
#include <cstdint>
#include <vector>

namespace headflow {

/// `count` >= 1 numbers from `from` to `to`, with equal differences or, `log`, with equal ratios
/// (both ends > 0). Each is the shortest decimal within rounding of its exact place, the ends being
/// the decimals that they are written as: 0.1 to 1 in 10 gives 0.6 and not 0.6000000000000001.
std::vector<double> range_values(double from, double to, std::int64_t count, bool log);

}  // namespace headflow
