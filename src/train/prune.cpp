#include "headflow/train/prune.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>

#include "headflow/core/statistics.hpp"
#include "model/attention_formulas.hpp"
#include "population/sample_means.hpp"
#include "train/heads.hpp"

namespace headflow {
namespace {

using Real = Heads::Real;
using HeadList = std::vector<int>;

/// The loss with some heads, and without each of them in turn.
struct Losses {
  Measured now;
  std::vector<double> without;
};

/// Means of sigma_{h,1} (H), sum_l sigma_{h,l} (H) and sum_l sigma_{h,l} sigma_{g,l} (g <= h).
class Moments {
 public:
  static std::size_t size(int heads) {
    const auto H = static_cast<std::size_t>(heads);
    return 2 * H + H * (H + 1) / 2;
  }

  Moments(int heads, const std::vector<double>& means) : H_(heads), means_(means) {
    for (int h = 0; h < H_; ++h) all_ += weight(h);
  }

  /// E[ sum_l (delta_{l,1} - A_l)^2 ] when only `heads` are left.
  double loss(const HeadList& heads) const { return loss(sums(heads)); }

  /// The same without each of the heads, from what one takes off the sums. Where it takes nearly
  /// all of them, which at most one head does, the others are summed instead.
  std::vector<double> losses_without_each(const HeadList& heads) const {
    const Sums all = sums(heads);
    std::vector<double> losses;
    for (std::size_t i = 0; i < heads.size(); ++i) {
      const int h = heads[i];
      const Sums rest{all.weight - weight(h), all.relevant - relevant(h),
                      all.squares - 2 * row(h, heads) + product(h, h)};
      const bool exact =
          std::abs(rest.weight) > 1e-4 * std::abs(all.weight) && rest.squares > 1e-4 * all.squares;
      losses.push_back(exact ? loss(rest) : loss(without(heads, i)));
    }
    return losses;
  }

 private:
  /// Over the heads that are left.
  struct Sums {
    double weight = 0, relevant = 0, squares = 0;
  };
  Sums sums(const HeadList& heads) const {
    Sums all;
    for (const int h : heads) {
      all.weight += weight(h);
      all.relevant += relevant(h);
      all.squares += row(h, heads);
    }
    return all;
  }
  static HeadList without(HeadList heads, std::size_t place) {
    heads.erase(heads.begin() + static_cast<std::ptrdiff_t>(place));
    return heads;
  }

  double relevant(int h) const { return means_[static_cast<std::size_t>(h)]; }
  double weight(int h) const { return means_[static_cast<std::size_t>(H_ + h)]; }
  double product(int h, int g) const {
    const auto [low, high] = std::minmax(h, g);
    return means_[2 * static_cast<std::size_t>(H_) +
                  static_cast<std::size_t>(high) * static_cast<std::size_t>(high + 1) / 2 +
                  static_cast<std::size_t>(low)];
  }
  double row(int h, const HeadList& heads) const {
    double sum = 0;
    for (const int g : heads) sum += product(h, g);
    return sum;
  }
  double loss(const Sums& left) const {
    const double scale = std::abs(left.weight) > 1e-150 ? all_ / H_ / left.weight : 0;
    return 1 - 2 * scale * left.relevant + scale * scale * left.squares;
  }

  int H_;
  const std::vector<double>& means_;
  double all_ = 0;
};

/// Adds the moments of `count` sequences.
void add_moments(Heads& heads, const Shape& shape, const double* x, std::int64_t count,
                 std::span<double> sums) {
  constexpr int lanes = lane_count<double>;
  const auto& [L, H, F] = shape;
  const auto* tokens = reinterpret_cast<const Real*>(x);
  for (std::int64_t first = 0; first < count; first += lanes, tokens += L * (F + H)) {
    const auto& sigma = heads(tokens);
    const auto add = [&](double& sum, Real value) {
      for (int i = 0; i < lanes && first + i < count; ++i) sum += value[i];
    };
    auto product = sums.begin() + 2 * H;
    for (int h = 0; h < H; ++h) {
      const Real* s = &sigma[static_cast<std::size_t>(h * L)];
      add(sums[static_cast<std::size_t>(h)], s[0]);
      Real weight{};
      for (int l = 0; l < L; ++l) weight += s[l];
      add(sums[static_cast<std::size_t>(H + h)], weight);
      for (int g = 0; g <= h; ++g) {
        const Real* t = &sigma[static_cast<std::size_t>(g * L)];
        Real products{};
        for (int l = 0; l < L; ++l) products += s[l] * t[l];
        add(*product++, products);
      }
    }
  }
}

/// The loss of a sequence with heads that are normalised together, and without each of them.
class JointLosses {
 public:
  JointLosses(const Model& model, const Parameters& parameters, const HeadList& left)
      : model_(model), all_(parameters_of(parameters, left)), heads_(model, all_) {
    const auto n = static_cast<Eigen::Index>(left.size());
    scores_.resize(static_cast<std::size_t>(n * model.shape.tokens));
    A_.resize(static_cast<std::size_t>(model.shape.tokens));
    for (Eigen::Index i = 0; i < n; ++i) {
      Vector& b = without_.emplace_back(n - 1);
      b << all_.b.head(i), all_.b.tail(n - 1 - i);
    }
  }

  /// Adds to sums[i] the losses of `count` sequences without the i-th head, and to the last one
  /// those with all.
  void operator()(const double* x, std::int64_t count, std::span<double> sums) {
    constexpr int lanes = lane_count<double>;
    const int L = model_.shape.tokens;
    const auto* tokens = reinterpret_cast<const Real*>(x);
    for (std::int64_t first = 0; first < count; first += lanes) {
      const auto& chi = heads_.fields(tokens);
      tokens += L * model_.shape.coordinates();
      const auto add = [&](double& sum, const Vector& b) {
        const Real loss = loss_of_scores(b);
        for (int i = 0; i < lanes && first + i < count; ++i) sum += loss[i];
      };
      std::copy(chi.begin(), chi.end(), scores_.begin());
      add(sums.back(), all_.b);
      for (std::size_t i = 0; without_.size() > 1 && i < without_.size(); ++i) {
        const auto gap = chi.begin() + static_cast<std::ptrdiff_t>(i) * L;
        std::copy(gap + L, chi.end(), std::copy(chi.begin(), gap, scores_.begin()));
        add(sums[i], without_[i]);
      }
    }
  }

 private:
  static Parameters parameters_of(const Parameters& all, const HeadList& left) {
    return {all.K(left, Eigen::all), all.b(left), all.v};
  }

  Real loss_of_scores(const Vector& b) {
    const int L = model_.shape.tokens;
    std::visit(
        [&]<class Formulas>(Formulas) {
          Formulas::forward(scores_.data(), A_.data(), L, static_cast<int>(b.size()),
                            Offsets<double>{b.data(), all_.v});
        },
        model_.activation);
    Real loss = (1 - A_[0]) * (1 - A_[0]);
    for (int l = 1; l < L; ++l)
      loss += A_[static_cast<std::size_t>(l)] * A_[static_cast<std::size_t>(l)];
    return loss;
  }

  const Model& model_;
  Parameters all_;
  Heads heads_;
  std::vector<Vector> without_;  // biases without each of the heads
  AlignedVector<Real> scores_, A_;
};

/// What Losses are of any heads that are left.
using LossesOf = std::function<Losses(const HeadList&)>;

/// One pass over the samples for all.
LossesOf losses_from_moments(const Communicator& comm, const Model& model,
                             const Parameters& parameters, const Sampling& sampling,
                             Control& control) {
  Heads heads(model, parameters);
  const int H = model.shape.heads;
  SampleMeans means = sample_means(
      comm, model.shape, model.signal, sampling, Moments::size(H),
      [&](const double* x, std::int64_t count, std::span<double> sums) {
        add_moments(heads, model.shape, x, count, sums);
      },
      control);
  return [H, means = std::move(means)](const HeadList& left) {
    const Moments moments(H, means.mean);
    const double error = means.standard_error(
        [&](const std::vector<double>& mean) { return Moments(H, mean).loss(left); });
    return Losses{{moments.loss(left), error}, moments.losses_without_each(left)};
  };
}

/// A pass over the samples for each call.
LossesOf losses_of_joint_heads(const Communicator& comm, const Model& model,
                               const Parameters& parameters, const Sampling& sampling,
                               Control& control) {
  return [&](const HeadList& left) {
    JointLosses losses(model, parameters, left);
    const SampleMeans means = sample_means(
        comm, model.shape, model.signal, sampling, left.size() + 1,
        [&](const double* x, std::int64_t count, std::span<double> sums) {
          losses(x, count, sums);
        },
        control);
    const double error =
        means.standard_error([](const std::vector<double>& mean) { return mean.back(); });
    return Losses{{means.mean.back(), error}, {means.mean.begin(), means.mean.end() - 1}};
  };
}

}  // namespace

Pruning prune(const Communicator& comm, const Model& model, const Parameters& parameters,
              const Sampling& sampling, Control& control) {
  const auto& make =
      normalised_jointly(model.activation) ? losses_of_joint_heads : losses_from_moments;
  const LossesOf losses_of = make(comm, model, parameters, sampling, control);
  PacedControl paced(control);
  Pruning result;
  HeadList left(static_cast<std::size_t>(model.shape.heads));
  std::iota(left.begin(), left.end(), 0);
  while (true) {
    const auto& [now, without] = losses_of(left);
    result.loss.push_back(now.value);
    result.loss_stderr.push_back(now.error);
    if (left.size() == 1) return result;
    paced.worked(static_cast<double>(sampling.replicates + 2) *
                 static_cast<double>(left.size() * left.size()));
    const auto least = std::min_element(without.begin(), without.end()) - without.begin();
    result.order.push_back(left[static_cast<std::size_t>(least)]);
    left.erase(left.begin() + least);
  }
}

}  // namespace headflow
