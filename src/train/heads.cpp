#include "train/heads.hpp"

#include "model/attention_formulas.hpp"

namespace headflow {

Heads::Heads(const Model& model, const Parameters& parameters)
    : L_(model.shape.tokens),
      activation_(model.activation),
      parameters_(parameters),
      sigma_(static_cast<std::size_t>(parameters.b.size() * L_)),
      A_(static_cast<std::size_t>(L_)) {}

const AlignedVector<Heads::Real>& Heads::fields(const Real* x) {
  const auto P = static_cast<int>(parameters_.K.cols());
  auto chi = sigma_.begin();
  for (Eigen::Index h = 0; h < parameters_.b.size(); ++h)
    for (int l = 0; l < L_; ++l) {
      Real field{};
      for (int p = 0; p < P; ++p) field += parameters_.K(h, p) * x[l * P + p];
      *chi++ = field;
    }
  return sigma_;
}

const AlignedVector<Heads::Real>& Heads::operator()(const Real* x) {
  fields(x);
  const auto H = static_cast<int>(parameters_.b.size());
  std::visit(
      [&]<class Formulas>(Formulas) {
        Formulas::forward(sigma_.data(), A_.data(), L_, H,
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

}  // namespace headflow
