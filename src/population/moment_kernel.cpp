#include "population/moment_kernel.hpp"

#include <algorithm>

#include "model/attention_formulas.hpp"
#include "population/field_tiles.hpp"

namespace headflow {

std::size_t order_parameter_count(const Shape& shape, const Training& training) {
  const int H = shape.heads;
  return static_cast<std::size_t>((training.k ? H * shape.features + H * (H + 1) / 2 : 0) +
                                  (training.b > 0 ? H : 0) + (training.v > 0 ? 1 : 0));
}

template <class Real>
MomentKernel<Real>::MomentKernel(const Shape& shape, Activation activation,
                                 const Training& training)
    : samples_(shape),
      shape_(shape),
      activation_(activation),
      training_(training),
      K_(static_cast<std::size_t>(shape.heads * shape.coordinates())),
      b_(static_cast<std::size_t>(shape.heads)),
      fields_(static_cast<std::size_t>(shape.heads * shape.tokens)),
      outside_(fields_.size()),
      tokens_(static_cast<std::size_t>(2 * shape.tokens)),
      offsets_(b_.size() + 1),
      zeta_(order_parameter_count(shape, training)),
      sums_(result_size(shape, training)) {}

/// chi and u w of one group of samples.
template <class Real>
void MomentKernel<Real>::fields(const V* x) {
  const int L = shape_.tokens, H = shape_.heads, F = shape_.features, P = shape_.coordinates();
  for (int h = 0; h < H; ++h)
    for (int l = 0; l < L; ++l) {
      V inside{}, outside{};
      for (int p = 0; p < F; ++p) inside += K_[static_cast<std::size_t>(h * P + p)] * x[l * P + p];
      for (int p = F; p < P; ++p) outside += K_[static_cast<std::size_t>(h * P + p)] * x[l * P + p];
      const auto i = static_cast<std::size_t>(h * L + l);
      outside_[i] = outside;
      fields_[i] = inside + outside;
    }
}

/// zeta of one group of samples from g.
template <class Real>
void MomentKernel<Real>::fill(const V* x) {
  V* next = training_.k ? fill_overlaps(x, zeta_.data()) : zeta_.data();
  const auto b = static_cast<Real>(training_.b), v = static_cast<Real>(training_.v);
  for (int h = 0; h < shape_.heads && b > 0; ++h)
    *next++ = b * offsets_[static_cast<std::size_t>(h)];
  if (v > 0) *next = v * offsets_.back();
}

/// The part of m and r, from `next` on; its end is returned.
template <class Real>
typename MomentKernel<Real>::V* MomentKernel<Real>::fill_overlaps(const V* x, V* next) {
  const int L = shape_.tokens, H = shape_.heads, F = shape_.features, P = shape_.coordinates();
  for (int h = 0; h < H; ++h)
    for (int f = 0; f < F; ++f) {
      V sum{};
      for (int l = 0; l < L; ++l)
        sum += fields_[static_cast<std::size_t>(h * L + l)] * x[l * P + f];
      *next++ = sum;
    }
  for (int h = 0; h < H; ++h)
    for (int other = 0; other <= h; ++other) {
      const V *g = &fields_[static_cast<std::size_t>(h * L)],
              *g_other = &fields_[static_cast<std::size_t>(other * L)],
              *uw = &outside_[static_cast<std::size_t>(h * L)],
              *uw_other = &outside_[static_cast<std::size_t>(other * L)];
      V sum{};
      for (int l = 0; l < L; ++l)
        sum += g[l] * uw_other[l] + g_other[l] * uw[l] - kappa_ * (g[l] * g_other[l]);
      *next++ = sum;
    }
  return next;
}

template <class Real>
void MomentKernel<Real>::add_zeta() {
  const std::size_t n = zeta_.size();
  V* next = sums_.data();
  for (std::size_t i = 0; i < n; ++i) *next++ += zeta_[i];
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) *next++ += zeta_[i] * zeta_[j];
}

template <class Real>
template <class Formulas>
void MomentKernel<Real>::run(std::int64_t count) {
  const int L = shape_.tokens, H = shape_.heads;
  V* const A = tokens_.data();
  V* const a = A + L;
  const Offsets<Real> offsets{b_.data(), v_};
  const OffsetGradient<V> gradient{offsets_.data(), &offsets_.back()};
  for (std::int64_t left = count; left > 0; left -= lane_count<Real>) {
    const V* const group = samples_.next();
    fields(group);
    std::fill(offsets_.begin(), offsets_.end(), V{});
    Formulas::forward(fields_.data(), A, L, H, offsets);
    const V weight = left >= lane_count<Real> ? broadcast(Real(1)) : lane_weights<Real>(left);
    for (int l = 0; l < L; ++l) a[l] = Real(2) * weight * (A[l] - Real(l == 0));
    Formulas::backward(fields_.data(), A, a, L, H, offsets, gradient);
    fill(group);
    add_zeta();
  }
}

template <class Real>
void MomentKernel<Real>::add(const Parameters& parameters, double kappa, std::int64_t count,
                             std::span<double> sums) {
  const auto real = [](double number) { return static_cast<Real>(number); };
  std::transform(parameters.K.data(), parameters.K.data() + parameters.K.size(), K_.begin(), real);
  std::transform(parameters.b.begin(), parameters.b.end(), b_.begin(), real);
  v_ = real(parameters.v);
  kappa_ = real(kappa);
  std::fill(sums_.begin(), sums_.end(), V{});
  std::visit([&]<class Formulas>(Formulas) { run<Formulas>(count); }, activation_);
  sum_lanes<Real>(sums_, sums);
}

template class MomentKernel<double>;
template class MomentKernel<float>;

}  // namespace headflow
