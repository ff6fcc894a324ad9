#include "core/lane_random.hpp"

namespace headflow {

LaneRandom::Key LaneRandom::key_of(const RandomStream& stream) {
  const auto words = stream.bits(0, 0);
  return {static_cast<std::uint64_t>(words[0]) << 32 | words[1],
          static_cast<std::uint64_t>(words[2]) << 32 | words[3]};
}

void LaneRandom::fill(std::int64_t count, double* out) const {
  // Loops over lanes without branches: the compiler turns each into vector instructions.
  alignas(64) std::uint64_t words[2][lanes];
  for (std::uint64_t draw = 0; draw < static_cast<std::uint64_t>(count + 1) / 2; ++draw) {
    for (std::size_t i = 0; i < lanes; ++i) {
      const auto word = Threefry()({{step[i], item[i] << 26 | draw}}, {{key[i][0], key[i][1]}});
      words[0][i] = word[0];
      words[1][i] = word[1];
    }
    for (const auto& row : words)
      for (std::size_t i = 0; i < lanes; ++i) *out++ = to_unit_interval(row[i]);
  }
}

}  // namespace headflow
