#pragma once
#include <cstdint>
#include <span>

#include "core/float_normals.hpp"
#include "core/lanes.hpp"
#include "headflow/model/shape.hpp"

namespace headflow {

/// Rows of single-precision numbers over the D coordinates, cut into tiles that fit in a core's
/// cache and padded with zeros to whole blocks of FloatNormals:
///   row r, coordinate d is data[(d / tile) * rows * stride + r * stride + d % tile].
struct TileLayout {
  static constexpr std::int64_t tile = 512;
  /// Rows do not start at multiples of the page size, which would send them to the same cache sets.
  static constexpr std::int64_t stride = tile + 32;

  std::int64_t dimension = 0;
  int rows = 0;

  std::int64_t tiles() const { return (dimension + tile - 1) / tile; }
  std::int64_t size() const { return tiles() * rows * stride; }
  /// Coordinates in tile t, padding included.
  std::int64_t width(std::int64_t t) const {
    const std::int64_t left = dimension - t * tile;
    return left >= tile
               ? tile
               : (left + FloatNormals::block - 1) / FloatNormals::block * FloatNormals::block;
  }
  std::int64_t offset(int row, std::int64_t t) const { return (t * rows + row) * stride; }
  std::int64_t index(int row, std::int64_t d) const { return offset(row, d / tile) + d % tile; }
};

/// The tokens of one sequence in R^D and what is computed with all their coordinates:
///   X_l ~ N(delta_{l,1} sum_f theta_f k*_f, I_D),  chi = k X',  G = X X' / D,  and sums of g X.
/// Sums over coordinates run in single precision over a tile, in double precision over tiles,
/// always in the same order. About L (L/2 + 2 H) D multiply-adds and L D random numbers, which take
/// most of the time; memory L D single-precision numbers.
class TokenKernel {
 public:
  TokenKernel(const Shape& shape, std::int64_t dimension);

  TileLayout heads_layout() const { return {tokens_.dimension, shape_.heads}; }
  TileLayout spikes_layout() const { return {tokens_.dimension, shape_.features}; }

  /// Draws the tokens of sequence `sequence` around `spikes` (in the layout of spikes_layout()) and
  /// computes their fields chi (H x L) with the `heads` (in that of heads_layout()) and G (L x L).
  void project(const FloatNormals& normals, std::uint32_t sequence, std::span<const double> theta,
               const float* spikes, const float* heads, Matrix& chi, Matrix& gram);

  /// sums_{h,d} += sum_l g_{h,l} X_{l,d}, each term rounded to a whole multiple of 1 / per_unit (a
  /// power of two), so that `sums` (in heads_layout()) do not depend on the order of the sequences.
  /// Returns the largest magnitude of a term; from term_limit on terms are wrong.
  float add_gradient(const Matrix& g, double per_unit, std::int64_t* sums);
  /// The same in plain single precision.
  float add_gradient(const Matrix& g, double, float* sums);

  static constexpr float term_limit = 0x1p10f;
  /// The finest per_unit, 2^40 at most, with which `count` terms under term_limit cannot overflow.
  static double units_for(std::int64_t count);

  /// Coordinate d of token l as last drawn.
  float token(int l, std::int64_t d) const {
    return x_[static_cast<std::size_t>(tokens_.index(l, d))];
  }

 private:
  void draw_tile(std::int64_t t, const FloatNormals& normals, std::uint32_t sequence,
                 std::span<const double> theta, const float* spikes);
  template <class Sum>
  float add_gradient_to(const Matrix& g, double per_unit, Sum* sums);
  template <int heads, class Sum>
  void add_gradient_tile(std::int64_t t, int h, double per_unit, Sum* sums,
                         Lanes<float>& largest) const;

  Shape shape_;
  TileLayout tokens_;
  AlignedVector<float> x_;
  AlignedVector<float> g_;
};

}  // namespace headflow
