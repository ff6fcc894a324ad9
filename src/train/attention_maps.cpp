#include "headflow/train/attention_maps.hpp"

#include <algorithm>

#include "core/normal.hpp"
#include "core/random.hpp"
#include "headflow/core/keys.hpp"
#include "train/heads.hpp"

namespace headflow {

void MapsOptions::declare_keys(KeyVisitor& visitor) {
  visitor.key({"sequences", "number of sequences of the prior"}, sequences,
              {.least = 1, .most = 1e6});
  visitor.whole({.name = "seed", .help = "seed of the sequences", .seed = Seed::one}, seed, seeds);
}

AttentionMaps attention_maps(const Model& model, const Parameters& parameters,
                             const MapsOptions& options, Control& control) {
  const auto& [L, H, F] = model.shape;
  const int P = F + H;
  Heads heads(model, parameters);
  AttentionMaps maps;
  std::vector<double> u(static_cast<std::size_t>(model.signal.draw_dimension()));
  std::vector<double> theta(static_cast<std::size_t>(F));
  AlignedVector<Heads::Real> x(static_cast<std::size_t>(L * P));
  PacedControl paced(control);
  for (std::int64_t i = 0; i < options.sequences; ++i) {
    paced.worked(100.0 + L * (20.0 * P + 40.0 * H));
    RandomSequence draw(RandomStream(options.seed, Purpose::maps), static_cast<std::uint64_t>(i));
    const int place = std::min(L - 1, static_cast<int>(draw.uniform() * L));
    for (double& value : u) value = draw.uniform();
    std::vector<double> normals = u;
    normal_quantile(normals);
    model.signal.draw(u, normals, theta);
    for (auto& value : x) value = broadcast(draw.normal());
    for (int f = 0; f < F; ++f)
      x[static_cast<std::size_t>(place * P + f)] += theta[static_cast<std::size_t>(f)];
    const auto& sigma = heads(x.data());
    for (const auto& value : sigma) maps.sigma.push_back(value[0]);
    for (int l = 0; l < L; ++l) {
      double A = 0;
      for (int h = 0; h < H; ++h) A += sigma[static_cast<std::size_t>(h * L + l)][0] / H;
      maps.A.push_back(A);
    }
    maps.theta.insert(maps.theta.end(), theta.begin(), theta.end());
    maps.place.push_back(place + 1);
  }
  return maps;
}

}  // namespace headflow
