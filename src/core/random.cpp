#include "core/random.hpp"

#include <boost/math/special_functions/log1p.hpp>
#include <cmath>

#include "core/normal.hpp"

namespace headflow {

RandomStream::RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t first,
                           std::uint64_t second) {
  const Philox::key_type seed_key = {
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const auto image =
      Philox()({{static_cast<std::uint32_t>(purpose), first, static_cast<std::uint32_t>(second),
                 static_cast<std::uint32_t>(second >> 32)}},
               seed_key);
  key_ = {{image[0], image[1]}};
}

double RandomSequence::uniform() {
  const auto words = stream_.bits(index_, draw_++);
  return to_unit_interval(static_cast<std::uint64_t>(words[0]) << 32 | words[1]);
}

double RandomSequence::normal() { return normal_quantile(uniform()); }

double RandomSequence::gamma(double shape) {
  if (shape < 1) return gamma(shape + 1) * std::pow(uniform(), 1 / shape);
  for (;;) {
    const double x = normal();
    if (const auto value = gamma_attempt(shape, x, uniform())) return *value;
  }
}

std::optional<double> gamma_attempt(double shape, double x, double u) {
  const double d = shape - 1.0 / 3;
  const double t = x / std::sqrt(9 * d);
  if (t <= -1) return std::nullopt;
  // log u < x^2/2 + d (1 - v + log v) with v = (1+t)^3 and x^2/2 = t^2/(2 c^2) = 9 d t^2 / 2
  const double log_ratio = d * (3 * boost::math::log1pmx(t) + t * t * (1.5 - t));
  if (std::log(u) >= log_ratio) return std::nullopt;
  return d * (1 + t) * (1 + t) * (1 + t);
}

}  // namespace headflow
