#include "population/tangent_kernel.hpp"

#include <algorithm>

#include "model/attention_formulas.hpp"
#include "population/field_tiles.hpp"
#include "population/kernel.hpp"

namespace headflow {
namespace {

/// dN_{hh'} += sum_l (dg_{hl} g_{h'l} + g_{hl} dg_{h'l}), h' <= h.
template <class V>
void add_second_moments(const Dual<V>* g, int L, int H, V* N) {
  for (int h = 0; h < H; ++h)
    for (int other = 0; other <= h; ++other, ++N) {
      Dual<V> sum = g[h * L] * g[other * L];
      for (int l = 1; l < L; ++l) sum += g[h * L + l] * g[other * L + l];
      *N += sum.tangent;
    }
}

}  // namespace

template <class Real>
TangentKernel<Real>::TangentKernel(const Shape& shape, Activation activation, bool noise)
    : samples_(shape),
      shape_(shape),
      activation_(activation),
      noise_(noise),
      K_(static_cast<std::size_t>(shape.heads * shape.coordinates())),
      dK_(K_.size()),
      b_(static_cast<std::size_t>(shape.heads)),
      products_(static_cast<std::size_t>(shape.heads * shape.tokens)),
      scores_(products_.size()),
      tokens_(static_cast<std::size_t>(2 * shape.tokens)),
      db_(static_cast<std::size_t>(shape.heads + 1)),
      sums_(Kernel<Real>::result_size(shape, noise)) {}

/// products_ = K x for one group of samples.
template <class Real>
void TangentKernel<Real>::fields(const AlignedVector<Real>& K, const V* x) {
  const int L = shape_.tokens, P = shape_.coordinates();
  for_tiles(
      shape_.heads, L, [&](auto heads, auto width, int h, int l) __attribute__((always_inline)) {
        fields_tile<heads(), width(), Real>(&K[static_cast<std::size_t>(h * P)], x + l * P, P,
                                            &products_[static_cast<std::size_t>(h * L + l)], L);
      });
}

template <class Real>
template <class Formulas>
void TangentKernel<Real>::run(std::int64_t count) {
  const int L = shape_.tokens, H = shape_.heads, P = shape_.coordinates();
  Dual<V>* const s = scores_.data();
  Dual<V>* const A = tokens_.data();
  Dual<V>* const a = A + L;
  const Offsets<Dual<V>> offsets{b_.data(), v_};
  const OffsetGradient<Dual<V>> gradient{db_.data(), &db_.back()};
  for (std::int64_t left = count; left > 0; left -= lane_count<Real>) {
    const V* const group = samples_.next();
    fields(K_, group);
    for (std::size_t i = 0; i < scores_.size(); ++i) scores_[i].value = products_[i];
    fields(dK_, group);
    for (std::size_t i = 0; i < scores_.size(); ++i) scores_[i].tangent = products_[i];
    Formulas::forward(s, A, L, H, offsets);
    const V weight = left >= lane_count<Real> ? broadcast(Real(1)) : lane_weights<Real>(left);
    for (int l = 0; l < L; ++l) {
      // a = de/dA = -2 c with c = delta_{l,1} - A, and de = a dA.
      a[l] = {Real(2) * weight * (A[l].value - Real(l == 0)), Real(2) * weight * A[l].tangent};
      sums_[0] += a[l].value * A[l].tangent;
    }
    Formulas::backward(s, A, a, L, H, offsets, gradient);
    if (noise_) add_second_moments(s, L, H, &sums_[Kernel<Real>::result_size(shape_)]);
    for (std::size_t i = 0; i < scores_.size(); ++i) products_[i] = scores_[i].tangent;
    for_tiles(
        H, L, [&](auto heads, auto width, int h, int l) __attribute__((always_inline)) {
          gradient_tile<heads(), width(), Real>(&products_[static_cast<std::size_t>(h * L + l)],
                                                group + l * P, P,
                                                &sums_[static_cast<std::size_t>(1 + h * P)], L);
        });
  }
  for (std::size_t i = 0; i < db_.size(); ++i)
    sums_[static_cast<std::size_t>(1 + H * P) + i] = db_[i].tangent;
}

template <class Real>
void TangentKernel<Real>::add(const Parameters& parameters, const Parameters& direction,
                              std::int64_t count, std::span<double> sums) {
  const auto real = [](double number) { return static_cast<Real>(number); };
  std::transform(parameters.K.data(), parameters.K.data() + parameters.K.size(), K_.begin(), real);
  std::transform(direction.K.data(), direction.K.data() + direction.K.size(), dK_.begin(), real);
  const auto dual = [&](double value, double tangent) {
    return Dual<V>{broadcast(real(value)), broadcast(real(tangent))};
  };
  std::transform(parameters.b.begin(), parameters.b.end(), direction.b.begin(), b_.begin(), dual);
  v_ = dual(parameters.v, direction.v);
  std::fill(sums_.begin(), sums_.end(), V{});
  std::fill(db_.begin(), db_.end(), Dual<V>{});
  std::visit([&]<class Formulas>(Formulas) { run<Formulas>(count); }, activation_);
  sum_lanes<Real>(sums_, sums);
}

template class TangentKernel<double>;
template class TangentKernel<float>;

}  // namespace headflow
