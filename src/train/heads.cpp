#include "train/heads.hpp"

#include "model/attention_formulas.hpp"

namespace headflow {

Heads::Heads(const Model& model, const Parameters& parameters)
    : shape_(model.shape),
      activation_(model.activation),
      parameters_(parameters),
      sigma_(static_cast<std::size_t>(shape_.heads * shape_.tokens)),
      A_(static_cast<std::size_t>(shape_.tokens)) {}

const AlignedVector<Heads::Real>& Heads::operator()(const Real* x) {
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

}  // namespace headflow
