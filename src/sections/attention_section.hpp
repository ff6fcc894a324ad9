#pragma once
#include <optional>
#include <string>

#include "headflow/model/attention.hpp"
#include "headflow/model/shape.hpp"
#include "headflow/model/training.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [attention]: the model that learns.
class AttentionSection : public Section {
 public:
  const char* name() const override { return "attention"; }
  const char* help() const override { return "the model that learns"; }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;

  Shape shape;  ///< with the tokens and features of [model]
  Activation activation;
  Training training;
  double weight_decay = 0;

 private:
  void resolve_training();

  std::int64_t heads_ = 0;
  std::string name_ = std::string(name_of(Activation()));
  std::optional<Choices> train_;
  std::optional<double> b_rate_, v_rate_;
};

}  // namespace headflow
