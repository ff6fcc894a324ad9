#pragma once
#include <optional>

#include "core/data_file.hpp"
#include "headflow/core/mpi.hpp"
#include "headflow/model/start.hpp"
#include "sections/section.hpp"

namespace headflow {

/// [start]: the state at t = 0.
class StartSection : public Section {
 public:
  const char* name() const override { return "start"; }
  const char* help() const override {
    return "the state at t = 0: one of dimension, noise, m (with r), file or bayes; default "
           "the dimension of [sgd] if there is one, else noise = 0.01";
  }
  void declare_keys(KeyVisitor& visitor) override;
  void prepare(Configuration& input) override;

  const Start& start() const { return *start_; }
  const Parameters& parameters() const { return start_->parameters; }
  /// Whether it is random, with the same spikes whatever its seed.
  bool has_seeds() const { return !m_ && !file_ && !bayes_ && (!dimension_ || orthonormal_); }
  /// K, b, v of `count` random starts with consecutive seeds, for the key `who`. Collective. Throws
  /// InputError when the start is not random, or its spikes differ from seed to seed.
  std::vector<Parameters> random_starts(Configuration& input, std::int64_t count,
                                        const char* who) const;
  /// How such starts scatter. Throws InputError likewise.
  StartSpread spread(const Shape& shape, const char* who) const;

  double eta = 1;              ///< norm of random heads
  std::int64_t seed = 1;       ///< of the random start
  std::string restarted_from;  ///< id of the run whose last state is the start, or empty

 private:
  void require_random(const char* who) const;
  void complete(Configuration& input);
  Start make(Configuration& input, std::int64_t with_seed);
  Start explicit_start(const Shape& shape) const;
  Start with_offsets(Start start, const Shape& shape) const;
  Start start_from_file(const Communicator& comm, const Shape& shape);
  std::vector<std::size_t> place_in(const DataReader& file) const;

  std::optional<double> dimension_, noise_, v_;
  bool orthonormal_ = false;
  std::optional<Matrix> m_, r_;
  std::optional<std::vector<double>> b_, member_;
  std::optional<std::string> file_;
  bool bayes_ = false;
  std::optional<Start> start_;
};

}  // namespace headflow
