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

/// Philox written once more, over all items at once, so that it vectorises.
void RandomStream::uniforms(std::uint64_t index, std::uint32_t draw, Items& first,
                            Items& second) const {
  constexpr std::size_t n = items_at_once;
  std::array<std::uint32_t, n> c0, c1, c2, c3;
  c1.fill(static_cast<std::uint32_t>(index >> 32));
  c2.fill(draw);
  c3.fill(0);
  for (std::size_t i = 0; i < n; ++i)
    c0[i] = static_cast<std::uint32_t>(index) + static_cast<std::uint32_t>(i);
  std::uint32_t key0 = key_[0], key1 = key_[1];
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t a = static_cast<std::uint64_t>(c0[i]) * PHILOX_M4x32_0;
      const std::uint64_t b = static_cast<std::uint64_t>(c2[i]) * PHILOX_M4x32_1;
      c0[i] = static_cast<std::uint32_t>(b >> 32) ^ c1[i] ^ key0;
      c2[i] = static_cast<std::uint32_t>(a >> 32) ^ c3[i] ^ key1;
      c1[i] = static_cast<std::uint32_t>(b);
      c3[i] = static_cast<std::uint32_t>(a);
    }
    key0 += PHILOX_W32_0;
    key1 += PHILOX_W32_1;
  }
  for (std::size_t i = 0; i < n; ++i) {
    first[i] = to_unit_interval(static_cast<std::uint64_t>(c0[i]) << 32 | c1[i]);
    second[i] = to_unit_interval(static_cast<std::uint64_t>(c2[i]) << 32 | c3[i]);
  }
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
