#pragma once
#include "headflow/model/attention.hpp"
#include "headflow/model/shape.hpp"
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
  double weight_decay = 0;

 private:
  std::int64_t heads_ = 0;
  std::string name_ = std::string(name_of(Activation()));
};

}  // namespace headflow
