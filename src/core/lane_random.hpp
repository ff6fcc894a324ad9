#pragma once
#include <Random123/threefry.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>

#include "core/lanes.hpp"
#include "core/random.hpp"

namespace headflow {

/// Addressed uniform numbers for items that are computed side by side, one in each lane: a number
/// is a function of (key, step, item, draw) of its lane alone, wherever the item lies. Double
/// precision. Threefry2x64 with 13 rounds (Salmon et al., SC11; crush-resistant) from Random123.
class LaneRandom {
 public:
  static constexpr int lanes = lane_count<double>;
  using Key = std::array<std::uint64_t, 2>;

  static Key key_of(const RandomStream& stream);

  std::array<Key, lanes> key{};
  std::array<std::uint64_t, lanes> step{};
  std::array<std::uint64_t, lanes> item{};  ///< under 2^38

  /// out[i * lanes + lane] = draw number i of the lane's item, for i < count <= 2^26 (count is
  /// rounded up to an even number). Uniform on (0, 1), 52 bits.
  void fill(std::int64_t count, double* out) const;

 private:
  using Threefry = r123::Threefry2x64_R<13>;
};

/// sqrt(chi^2_degrees) in every lane, exact for any number of degrees > 0, from numbers N(0, 1) and
/// uniform on (0, 1). Marsaglia and Tsang's attempt (gamma_attempt) nearly always suffices; where
/// it is refused, numbers are drawn from `more(lane)`, a RandomSequence.
template <class More>
Lanes<double> lane_chi(double degrees, Lanes<double> normals, Lanes<double> uniforms, More&& more) {
  const double shape = degrees / 2;
  const double d = std::max(shape, 1.0) - 1.0 / 3;
  const Lanes<double> t = normals * (1 / std::sqrt(9 * d));
  const Lanes<double> square = t * t;
  // For |t| <= 1/2 the attempt is accepted at least where u < 1 - 1.5 d t^4, because
  // log(1 - x) <= -x and the logarithm of the acceptance is at least -1.5 d t^4.
  const auto accepted = (square <= 0.25) & (uniforms < 1.0 - 1.5 * d * square * square);
  const Lanes<double> cube = (1.0 + t) * (1.0 + t) * (1.0 + t);
  Lanes<double> value = lane_sqrt(lane_max(2 * d * cube, Lanes<double>{}));
  for (int lane = 0; lane < lane_count<double>; ++lane) {
    if (shape >= 1 && accepted[lane]) continue;
    std::optional<double> gamma;
    if (shape >= 1) gamma = gamma_attempt(shape, normals[lane], uniforms[lane]);
    value[lane] = std::sqrt(2 * (gamma ? *gamma : more(lane).gamma(shape)));
  }
  return value;
}

}  // namespace headflow
