#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/lanes.hpp"
#include "core/random.hpp"
#include "headflow/model/prior.hpp"
#include "headflow/model/shape.hpp"
#include "headflow/population/sampling.hpp"

namespace headflow {

/// Draws samples x_l = (delta_{l,1} theta + z_l ; w_l) in R^P, l = 1..L, of theory.md section 4,
/// addressed by (seed, epoch, replicate, index): the same whatever the rank that asks, and in
/// whatever order.
///
/// One sample uses a point of the unit cube with coordinates (theta's draw, then z of all tokens,
/// then w of all tokens: theory.md section 12) and inverse normal CDFs: either pseudo-random
/// (Philox) or a Sobol' point (Joe-Kuo direction numbers from Boost) under hashed nested-uniform
/// (Owen) scrambling, a different scrambling for each replicate (Burley, JCGT 9(4), 2020).
class SampleGenerator {
 public:
  SampleGenerator(const Shape& shape, const Prior& prior, const Sampling& sampling);

  /// Number of coordinates of the unit cube that one sample uses.
  int dimension() const { return dimension_; }
  /// The same for what is not drawn yet. Throws InputError when Sobol points have fewer, or when a
  /// replicate has more than the 2^31 points that direction numbers exist for.
  static int dimension_of(const Shape& shape, const Prior& prior, const Sampling& sampling);
  /// Another, independent set for each epoch.
  void set_epoch(std::uint64_t epoch);
  /// Writes samples [first, first + count) of `replicate`, first a multiple of chunk, to `x`, laid
  /// out as x[group][l * P + p][lane] in groups of `lanes` samples; lanes past the end are zero.
  /// However they are stored, they are rounded to single precision unless sampling.precision is
  /// double.
  template <class Stored, int lanes = lane_count<Stored>>
  void fill(int replicate, std::int64_t first, std::int64_t count, Stored* x) const;

  /// Most dimensions that direction numbers exist for.
  static constexpr int max_sobol_dimension = 3667;
  /// So many samples are drawn side by side.
  static constexpr std::size_t chunk = RandomStream::items_at_once;

 private:
  using Chunk = RandomStream::Items;
  struct Scrambling {
    std::vector<std::uint32_t> first,
        second;  // seeds of the two hash rounds, one for each dimension
  };
  /// Coordinate d of the points index, index + 1, .. of the unit cube; index is a multiple of
  /// chunk. Coordinates are asked for in order: `next` may keep the one after it.
  void uniforms(int replicate, std::int64_t index, int d, Chunk& u, Chunk& next) const;
  void draw_theta(const std::vector<Chunk>& u, const std::vector<Chunk>& normals,
                  std::vector<Chunk>& theta) const;

  Shape shape_;
  Prior prior_;
  Sampling sampling_;
  int dimension_ = 0;
  std::vector<std::uint32_t> directions_;  // [bit][dimension], bits of each number reversed
  std::vector<std::array<std::uint32_t, chunk>> within_chunk_;  // [dimension][index]
  std::vector<RandomStream> streams_;                           // one for each replicate
  std::vector<Scrambling> scramblings_;                         // one for each replicate
};

}  // namespace headflow
