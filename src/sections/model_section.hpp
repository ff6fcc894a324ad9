#pragma once
#include <optional>

#include "headflow/model/prior.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [model]: the data.
class ModelSection : public Section {
 public:
  const char* name() const override { return "model"; }
  const char* help() const override { return "the data: sequences with one relevant token"; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;

  int tokens() const { return static_cast<int>(tokens_); }
  int features() const { return static_cast<int>(features_.value_or(0)); }
  /// The law of theta.
  const Prior& prior() const { return *prior_; }

 private:
  struct NamedPrior;
  static const std::vector<NamedPrior>& named_priors();
  const NamedPrior& named_prior() const;
  void resolve_features();
  std::vector<double> signal(std::size_t most) const;
  Prior discrete() const;
  Prior gaussian() const;
  Prior mixture() const;
  Prior product() const;
  Vector probabilities(Eigen::Index count) const;
  Vector mean() const;
  Eigen::Index features_of_product() const;

  std::int64_t tokens_ = 0;
  std::optional<std::int64_t> features_;
  std::string name_;
  std::optional<std::vector<double>> signal_, weights_, mean_, density_;
  std::optional<Matrix> atoms_, covariance_, means_;
  std::optional<std::vector<Matrix>> covariances_;
  std::optional<Choices> laws_;
  std::optional<Prior> prior_;
};

}  // namespace headflow
