#include "headflow/train/heads.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/normal.hpp"
#include "model/attention_formulas.hpp"

namespace headflow {
namespace {

/// sigma_{h,l} of sequences side by side (theory.md, section 2).
class Heads {
 public:
  using Real = Lanes<double>;

  Heads(const Shape& shape, const Activation& activation, const Parameters& parameters)
      : shape_(shape),
        activation_(activation),
        parameters_(parameters),
        sigma_(static_cast<std::size_t>(shape.heads * shape.tokens)),
        A_(static_cast<std::size_t>(shape.tokens)) {}

  /// For the tokens x[l * P + p] in each lane.
  const AlignedVector<Real>& operator()(const Real* x) {
    const int L = shape_.tokens;
    const int H = shape_.heads;
    const int P = shape_.coordinates();
    for (int h = 0; h < H; ++h)
      for (int l = 0; l < L; ++l) {
        Real field{};
        for (int p = 0; p < P; ++p) field += parameters_.K(h, p) * x[l * P + p];
        sigma_[static_cast<std::size_t>(h * L + l)] = field;
      }
    std::visit(
        [&]<class Formulas>(Formulas) {
          Formulas::forward(sigma_.data(), A_.data(), L, H,
                            Offsets<double>{parameters_.b.data(), parameters_.v});
        },
        activation_);
    // forward leaves scores whose sum over heads is proportional to A = mean of sigma.
    const double scale =
        std::visit([&]<class Formulas>(Formulas) { return Formulas::head_scale(H, parameters_.v); },
                   activation_);
    for (Real& s : sigma_) s *= scale;
    return sigma_;
  }

 private:
  Shape shape_;
  Activation activation_;
  Parameters parameters_;
  AlignedVector<Real> sigma_, A_;
};

/// Means of sigma_{h,1} (H), sum_l sigma_{h,l} (H) and sum_l sigma_{h,l} sigma_{g,l} (H x H).
struct Moments {
  int H;
  const std::vector<double>& means;
  double relevant(int h) const { return means[static_cast<std::size_t>(h)]; }
  double weight(int h) const { return means[static_cast<std::size_t>(H + h)]; }
  double product(int h, int g) const { return means[static_cast<std::size_t>((2 + h) * H + g)]; }

  /// E[ sum_l (delta_{l,1} - A_l)^2 ] when only `heads` are left.
  double loss(const std::vector<int>& heads) const {
    double all = 0, left = 0, d = 0, squares = 0;
    for (int h = 0; h < H; ++h) all += weight(h) / H;
    const auto count = static_cast<double>(heads.size());
    for (const int h : heads) {
      left += weight(h) / count;
      d += relevant(h) / count;
      for (const int g : heads) squares += product(h, g) / (count * count);
    }
    const double c = left != 0 ? all / left : 0;
    return 1 - 2 * c * d + c * c * squares;
  }
};

}  // namespace

Pruning prune(const Communicator& comm, const Shape& shape, const Activation& activation,
              const Parameters& parameters, const Prior& signal, const Sampling& sampling) {
  const int H = shape.heads;
  const int L = shape.tokens;
  Heads heads(shape, activation, parameters);
  constexpr int lanes = lane_count<double>;
  const SampleMeans means =
      sample_means(comm, shape, signal, sampling, static_cast<std::size_t>((2 + H) * H),
                   [&](const double* x, std::int64_t count, std::span<double> sums) {
                     const auto* tokens = reinterpret_cast<const Heads::Real*>(x);
                     for (std::int64_t first = 0; first < count;
                          first += lanes, tokens += L * shape.coordinates()) {
                       const auto& sigma = heads(tokens);
                       const auto add = [&](int place, Heads::Real value) {
                         for (int i = 0; i < lanes && first + i < count; ++i)
                           sums[static_cast<std::size_t>(place)] += value[i];
                       };
                       for (int h = 0; h < H; ++h) {
                         const Heads::Real* s = &sigma[static_cast<std::size_t>(h * L)];
                         add(h, s[0]);
                         Heads::Real weight{};
                         for (int l = 0; l < L; ++l) weight += s[l];
                         add(H + h, weight);
                         for (int g = 0; g < H; ++g) {
                           const Heads::Real* t = &sigma[static_cast<std::size_t>(g * L)];
                           Heads::Real product{};
                           for (int l = 0; l < L; ++l) product += s[l] * t[l];
                           add((2 + h) * H + g, product);
                         }
                       }
                     }
                   });
  const Moments moments{H, means.mean};
  Pruning result;
  std::vector<int> left(static_cast<std::size_t>(H));
  std::iota(left.begin(), left.end(), 0);
  const auto record = [&] {
    result.loss.push_back(moments.loss(left));
    result.loss_stderr.push_back(means.standard_error([&](const std::vector<double>& mean) {
      return Moments{H, mean}.loss(left);
    }));
  };
  record();
  while (left.size() > 1) {
    std::size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < left.size(); ++i) {
      std::vector<int> others = left;
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
      const double loss = moments.loss(others);
      if (loss < least) {
        least = loss;
        best = i;
      }
    }
    result.order.push_back(left[best]);
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(best));
    record();
  }
  return result;
}

AttentionMaps attention_maps(const Shape& shape, const Activation& activation,
                             const Parameters& parameters, const Prior& signal, std::int64_t count,
                             std::uint64_t seed) {
  const int L = shape.tokens;
  const int H = shape.heads;
  const int F = shape.features;
  const int P = shape.coordinates();
  Heads heads(shape, activation, parameters);
  AttentionMaps maps;
  std::vector<double> u(static_cast<std::size_t>(signal.draw_dimension()));
  std::vector<double> theta(static_cast<std::size_t>(F));
  AlignedVector<Heads::Real> x(static_cast<std::size_t>(L * P));
  for (std::int64_t i = 0; i < count; ++i) {
    RandomSequence draw(RandomStream(seed, Purpose::maps), static_cast<std::uint64_t>(i));
    const int place = std::min(L - 1, static_cast<int>(draw.uniform() * L));
    for (double& value : u) value = draw.uniform();
    std::vector<double> normals = u;
    normal_quantile(normals);
    signal.draw(u, normals, theta);
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
