#include "headflow/model/model.hpp"

#include <utility>

namespace headflow {

Model::Model(const Shape& shape_, Activation activation_, Prior prior_)
    : Model(shape_, activation_, std::move(prior_),
            Matrix::Identity(shape_.features, shape_.features)) {}

Model::Model(const Shape& shape_, Activation activation_, Prior prior_, Matrix spike_factor_)
    : shape(shape_),
      activation(activation_),
      prior(std::move(prior_)),
      spike_factor(std::move(spike_factor_)),
      signal(prior.transformed(spike_factor.transpose())),
      training(activation) {}

}  // namespace headflow
