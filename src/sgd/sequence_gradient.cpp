#include "sgd/sequence_gradient.hpp"

#include "model/attention_formulas.hpp"

namespace headflow {

SequenceGradient::SequenceGradient(const Shape& shape, Activation activation)
    : fields(shape.heads, shape.tokens),
      gram(shape.tokens, shape.tokens),
      b(shape.heads),
      activation_(activation),
      A_(shape.tokens),
      c_(shape.tokens),
      a_(shape.tokens) {}

void SequenceGradient::operator()(const Vector& biases, double scale) {
  const auto H = static_cast<int>(fields.rows());
  const auto L = static_cast<int>(fields.cols());
  const Offsets<double> offsets{biases.data(), scale};
  std::visit(
      [&]<class Formulas>(Formulas) {
        Formulas::forward(fields.data(), A_.data(), L, H, offsets);
        c_ = -A_;
        c_[0] += 1;
        a_.noalias() = -2 * (gram * c_);
        e = -0.5 * c_.dot(a_);
        b.setZero();
        v = 0;
        Formulas::backward(fields.data(), A_.data(), a_.data(), L, H, offsets,
                           OffsetGradient<double>{b.data(), &v});
      },
      activation_);
}

}  // namespace headflow
