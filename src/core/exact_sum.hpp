#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "headflow/core/mpi.hpp"

namespace headflow {

/// Sums of doubles that do not depend on the order or the grouping of the terms, hence not on the
/// number of ranks.
///
/// Each term is cut at 2^-128 and held in six 32-bit pieces of a fixed-point number (weights 2^-128
/// .. 2^32), each piece in an int64; what outgrows 32 bits is carried to the next piece before it
/// can overflow. So up to 2^34 terms of magnitude below 2^60 are added exactly; integers commute,
/// so the reduction over ranks is exact too. reduce() counts the terms. Terms that are not finite
/// or too large are counted, never added. The idea is that of Hallberg and Adcroft, Parallel
/// Computing 40 (2014) 140 (MOM6).
class ExactSums {
 public:
  explicit ExactSums(std::size_t count);

  void clear();
  std::size_t size() const { return count_; }
  /// Adds `term` to sum number `i`.
  void add(std::size_t i, double term);
  /// Adds every sum over all ranks of `comm`; collective. `fingerprint` is any number that must be
  /// the same on all ranks (a hash of the state that led here): if ranks disagree, throws
  /// NumericalError instead of a wrong result. Throws NumericalError also when a sum may hold more
  /// than 2^34 terms.
  void reduce(const Communicator& comm, std::uint64_t fingerprint = 0);
  /// What reduce() sends from each rank for so many sums.
  static double message_bytes(std::size_t count) {
    return static_cast<double>(sizeof(std::int64_t) * (count * pieces + more));
  }
  /// True when any term was not finite or was too large.
  bool poisoned() const { return poisoned_count() != 0; }
  /// Sum number `i`, rounded to double; NaN when poisoned. With `groups` > 1 the exact total of the
  /// sums number i, i + stride, .. : the bits that one sum of all their terms would have.
  double value(std::size_t i, std::size_t stride = 0, std::size_t groups = 1) const;

 private:
  static constexpr int pieces = 6;
  static constexpr int more = 4;  // numbers that follow the pieces
  static constexpr int lowest_exponent = -128;
  static constexpr std::int64_t most_terms = std::int64_t{1} << 34;
  static constexpr std::int64_t terms_between_carries = std::int64_t{1} << 30;
  static void carry(std::int64_t* piece);
  std::int64_t poisoned_count() const { return limbs_[count_ * pieces]; }

  std::size_t count_;
  // count_ * pieces, then: poisoned terms, two words for the fingerprint, terms of the longest sum
  // (of all ranks together: a bound, because the longest may be another one on each rank)
  std::vector<std::int64_t> limbs_;
  std::vector<std::int64_t> terms_;  // a bound on the terms in each sum
};

/// A 64-bit hash of the bits of some numbers (for ExactSums::reduce).
std::uint64_t fingerprint(std::span<const double> values);

}  // namespace headflow
