#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/lanes.hpp"
#include "core/random.hpp"
#include "headflow/model/prior.hpp"
#include "headflow/model/shape.hpp"

namespace headflow {

enum class SamplingMethod { sobol, monte_carlo };
enum class Precision { double_, single };

/// How the expectation over (theta, z, w) is sampled.
struct Sampling {
  std::int64_t samples = 65536;  ///< base samples over all replicates
  SamplingMethod method = SamplingMethod::sobol;
  int replicates = 8;  ///< independent sets whose spread gives the standard error; divides samples
  int first_replicate = 0;  ///< the number of the first of them: a part of a larger set
  std::uint64_t seed = 1;
  bool symmetric = false;  ///< close the set under cyclic head shifts and the prior's sign flips
  Precision precision = Precision::double_;
  double memory_gib = 4;  ///< keep the samples when a rank's share fits in this, else regenerate

  std::int64_t samples_per_replicate() const { return samples / replicates; }
  /// Number r of the replicates alone.
  Sampling replicate(int r) const {
    Sampling one = *this;
    one.samples = samples_per_replicate();
    one.replicates = 1;
    one.first_replicate = first_replicate + r;
    return one;
  }
};

/// A block is this many consecutive samples of one replicate: the unit that is partitioned over
/// ranks and summed.
inline constexpr std::int64_t block_size = 1024;

/// Draws samples x_l = (delta_{l,1} theta + z_l ; w_l) in R^P, l = 1..L, of theory.md section 4,
/// addressed by (seed, epoch, replicate, index): the same whatever the rank that asks, and in
/// whatever order.
///
/// One sample uses a point of the unit cube with coordinates (theta's draw, then token by token
/// z_l, w_l) and inverse normal CDFs: either pseudo-random (Philox) or a Sobol' point (Joe-Kuo
/// direction numbers from Boost) under hashed nested-uniform (Owen) scrambling, a different
/// scrambling for each replicate (Burley, JCGT 9(4), 2020).
class SampleGenerator {
 public:
  SampleGenerator(const Shape& shape, const Prior& prior, const Sampling& sampling);

  /// Number of coordinates of the unit cube that one sample uses.
  int dimension() const { return prior_.draw_dimension() + shape_.tokens * shape_.coordinates(); }
  /// Another, independent set for each epoch.
  void set_epoch(std::uint64_t epoch);
  /// Writes samples [first, first + count) of `replicate` to `x`, laid out as x[group][l * P +
  /// p][lane] in groups of lane_count<Real> samples; lanes past the end are zero.
  template <class Real>
  void fill(int replicate, std::int64_t first, std::int64_t count, Real* x) const;

  /// Most dimensions that direction numbers exist for.
  static constexpr int max_sobol_dimension = 3667;

 private:
  struct Scrambling {
    std::vector<std::uint32_t> first,
        second;  // seeds of the two hash rounds, one for each dimension
  };
  void uniforms(int replicate, std::int64_t index, std::vector<double>& u) const;

  Shape shape_;
  Prior prior_;
  Sampling sampling_;
  std::vector<std::uint32_t> directions_;  // [bit][dimension], bits of each number reversed
  std::vector<RandomStream> streams_;      // one for each replicate
  std::vector<Scrambling> scramblings_;    // one for each replicate
};

}  // namespace headflow
