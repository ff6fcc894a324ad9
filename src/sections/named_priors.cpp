#include "sections/named_priors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

Vector to_vector(const std::vector<double>& values) {
  return Eigen::Map<const Vector>(values.data(), static_cast<Eigen::Index>(values.size()));
}

/// model.signal with one number, or with up to `most`.
std::vector<double> signal_of(const ModelKeys& model, std::size_t most) {
  const std::size_t found = model.signal ? model.signal->size() : 0;
  if (found < 1 || found > most)
    throw InputError(fmt::format("model.signal must be {} for prior = \"{}\", found {}",
                                 most == 1 ? "one number" : "one or two numbers", model.prior,
                                 found == 0 ? "none" : std::to_string(found)));
  return *model.signal;
}

Prior discrete_of(const ModelKeys& model) {
  const auto count = model.atoms->rows();
  const Vector equal = Vector::Constant(count, 1.0 / static_cast<double>(count));
  return discrete_prior(*model.atoms, model.weights ? to_vector(*model.weights) : equal);
}

Prior gaussian_of(const ModelKeys& model, int features) {
  if (model.covariance->rows() != features)
    throw InputError(fmt::format("model.covariance must be square, found {} x {}",
                                 model.covariance->rows(), model.covariance->cols()));
  const Vector mean = model.mean ? to_vector(*model.mean) : Vector::Zero(features);
  if (mean.size() != features)
    throw InputError(
        fmt::format("model.mean must have {} numbers, found {}", features, mean.size()));
  return gaussian_prior(mean, *model.covariance);
}

/// A prior that the input can name. A new one is one more row of the table below.
struct NamedPrior {
  std::string name;
  std::vector<std::string> keys;  ///< the keys of [model] that belong to it
  std::function<Eigen::Index(const ModelKeys&)>
      told;                                           ///< F as its keys tell it, 0 when they do not
  std::function<Prior(const ModelKeys&, int)> build;  ///< the law, given F
};

const std::vector<NamedPrior>& table() {
  static const std::vector<NamedPrior> priors = {
      {"flipping-spike",
       {"signal"},
       [](const ModelKeys&) { return 2; },
       [](const ModelKeys& model, int) {
         const auto nu = signal_of(model, 2);
         return flipping_spike(nu.front(), nu.back());
       }},
      {"canonical-spikes",
       {"signal"},
       [](const ModelKeys&) { return 0; },
       [](const ModelKeys& model, int features) {
         return canonical_spikes(features, signal_of(model, 1)[0]);
       }},
      {"anisotropic-gaussian",
       {"signal"},
       [](const ModelKeys&) { return 0; },
       [](const ModelKeys& model, int features) {
         const auto nu = signal_of(model, 2);
         return anisotropic_gaussian(features, nu.front(), nu.back());
       }},
      {"discrete",
       {"atoms", "weights"},
       [](const ModelKeys& model) { return model.atoms ? model.atoms->cols() : 0; },
       [](const ModelKeys& model, int) { return discrete_of(model); }},
      {"gaussian",
       {"mean", "covariance"},
       [](const ModelKeys& model) { return model.covariance ? model.covariance->cols() : 0; },
       gaussian_of}};
  return priors;
}

const NamedPrior& entry(const std::string& name) {
  return *std::find_if(table().begin(), table().end(),
                       [&](const NamedPrior& prior) { return prior.name == name; });
}

/// Throws when a key is given that only other priors use.
void refuse_foreign_keys(const ModelKeys& model, const NamedPrior& prior) {
  const std::pair<const char*, bool> given[] = {{"signal", model.signal.has_value()},
                                                {"atoms", model.atoms.has_value()},
                                                {"weights", model.weights.has_value()},
                                                {"mean", model.mean.has_value()},
                                                {"covariance", model.covariance.has_value()}};
  for (const auto& [key, present] : given)
    if (present && std::find(prior.keys.begin(), prior.keys.end(), key) == prior.keys.end())
      throw InputError(
          fmt::format("model.{} has no meaning for prior = \"{}\", which uses {}; remove it", key,
                      prior.name, fmt::join(prior.keys, ", ")));
}

}  // namespace

std::vector<std::string> prior_names() {
  std::vector<std::string> names;
  for (const auto& prior : table()) names.push_back(prior.name);
  return names;
}

int features_of(const ModelKeys& model) {
  const Eigen::Index told = entry(model.prior).told(model);
  if (told != 0 && model.features != 0 && model.features != told)
    throw InputError(fmt::format("model.features = {} but prior = \"{}\" has {} features here",
                                 model.features, model.prior, told));
  const auto features = told != 0 ? told : static_cast<Eigen::Index>(model.features);
  refuse_foreign_keys(model, entry(model.prior));
  if (told == 0 && model.prior == "discrete")
    throw InputError("model.atoms is missing (prior = \"discrete\")");
  if (told == 0 && model.prior == "gaussian")
    throw InputError("model.covariance is missing (prior = \"gaussian\")");
  if (features < 1)
    throw InputError(fmt::format("model.features must be >= 1 for prior = \"{}\", found {}",
                                 model.prior, features));
  return static_cast<int>(features);
}

Prior prior_of(const ModelKeys& model, int features) {
  return entry(model.prior).build(model, features);
}

}  // namespace headflow
