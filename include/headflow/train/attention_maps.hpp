#pragma once
#include <cstdint>
#include <vector>

#include "headflow/core/control.hpp"
#include "headflow/model/model.hpp"
#include "headflow/model/parameters.hpp"

namespace headflow {

class KeyVisitor;

struct MapsOptions {
  std::int64_t sequences = 4;
  std::uint64_t seed = 1;

  void declare_keys(KeyVisitor& visitor);
};

/// The attention of every head on some sequences whose relevant token is at a random place.
struct AttentionMaps {
  std::vector<double> sigma;  ///< (sequence, head, token)
  std::vector<double> A;      ///< (sequence, token): the mean over heads
  std::vector<double> theta;  ///< (sequence, feature), as the heads see it: S' theta
  std::vector<double> place;  ///< (sequence): the relevant token, from 1
};

/// sigma_{h,l} of options.sequences sequences of model.signal; the same on every rank. Asks
/// control.within_step() as often as PacedControl.
AttentionMaps attention_maps(const Model& model, const Parameters& parameters,
                             const MapsOptions& options, Control& control = Control::none());

}  // namespace headflow
