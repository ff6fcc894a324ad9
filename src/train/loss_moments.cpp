#include "headflow/train/loss_moments.hpp"

#include <span>

#include "population/sample_means.hpp"
#include "train/heads.hpp"

namespace headflow {
namespace {

using Real = Heads::Real;

/// sum_l (delta_{l,1} - A_l)^2 of sequences side by side.
Real loss_of(const AlignedVector<Real>& sigma, int H, int L) {
  Real loss{};
  for (int l = 0; l < L; ++l) {
    Real A{};
    for (int h = 0; h < H; ++h) A += sigma[static_cast<std::size_t>(h * L + l)];
    const Real c = (l == 0 ? 1.0 : 0.0) - A / H;
    loss += c * c;
  }
  return loss;
}

}  // namespace

LossMoments loss_moments(const Communicator& comm, const Model& model, const Parameters& parameters,
                         const Sampling& sampling, Control& control) {
  constexpr int lanes = lane_count<double>;
  const Shape& shape = model.shape;
  Heads heads(model, parameters);
  const SampleMeans means = sample_means(
      comm, shape, model.signal, sampling, 2,
      [&](const double* x, std::int64_t count, std::span<double> sums) {
        const auto* tokens = reinterpret_cast<const Real*>(x);
        for (std::int64_t first = 0; first < count; first += lanes) {
          const Real loss = loss_of(heads(tokens), shape.heads, shape.tokens);
          tokens += shape.tokens * shape.coordinates();
          for (int i = 0; i < lanes && first + i < count; ++i) {
            sums[0] += loss[i];
            sums[1] += loss[i] * loss[i];
          }
        }
      },
      control);
  const double mean = means.mean[0];
  return {mean, means.mean[1] > 0 ? mean * mean / means.mean[1] : 0};
}

}  // namespace headflow
