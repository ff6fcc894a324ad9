#include "headflow/train/prune.hpp"

#include <limits>
#include <numeric>
#include <span>

#include "population/sample_means.hpp"
#include "train/heads.hpp"

namespace headflow {
namespace {

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

/// Adds the moments of `count` sequences.
void add_moments(Heads& heads, const Shape& shape, const double* x, std::int64_t count,
                 std::span<double> sums) {
  constexpr int lanes = lane_count<double>;
  const auto& [L, H, F] = shape;
  const auto* tokens = reinterpret_cast<const Heads::Real*>(x);
  for (std::int64_t first = 0; first < count; first += lanes, tokens += L * (F + H)) {
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
}

/// Which of the heads that are left is to be removed: its place in the list.
std::size_t least_needed(const Moments& moments, const std::vector<int>& left) {
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
  return best;
}

}  // namespace

Pruning prune(const Communicator& comm, const Model& model, const Parameters& parameters,
              const Sampling& sampling, Control& control) {
  const int H = model.shape.heads;
  Heads heads(model, parameters);
  const SampleMeans means = sample_means(
      comm, model.shape, model.signal, sampling, static_cast<std::size_t>((2 + H) * H),
      [&](const double* x, std::int64_t count, std::span<double> sums) {
        add_moments(heads, model.shape, x, count, sums);
      },
      control);
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
    const std::size_t best = least_needed(moments, left);
    result.order.push_back(left[best]);
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(best));
    record();
  }
  return result;
}

}  // namespace headflow
