#include "core/exact_sum.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "core/hash.hpp"
#include "headflow/core/error.hpp"

namespace headflow {

ExactSums::ExactSums(std::size_t count)
    : count_(count), limbs_(count * pieces + more, 0), terms_(count, 0) {}

void ExactSums::clear() {
  std::fill(limbs_.begin(), limbs_.end(), 0);
  std::fill(terms_.begin(), terms_.end(), 0);
}

void ExactSums::add(std::size_t i, double term) {
  if (!(std::abs(term) < 0x1p60)) {
    ++limbs_[count_ * pieces];
    return;
  }
  std::int64_t* piece = &limbs_[i * pieces];
  if (++terms_[i] % terms_between_carries == 0) carry(piece);
  double scale = 0x1p-32;  // highest piece first: weight 2^32
  double weight = 0x1p32;
  for (int k = pieces - 1; k >= 0; --k) {
    const auto whole = static_cast<std::int64_t>(term * scale);
    piece[k] += whole;
    term -= static_cast<double>(whole) * weight;  // exact: both are multiples of term's last bit
    scale *= 0x1p32;
    weight *= 0x1p-32;
  }
}

/// Leaves 32 bits in every piece but the highest; the number stays the same.
void ExactSums::carry(std::int64_t* piece) {
  for (int k = 0; k + 1 < pieces; ++k) {
    piece[k + 1] += piece[k] >> 32;
    piece[k] &= 0xffffffff;
  }
}

void ExactSums::reduce(const Communicator& comm, std::uint64_t fingerprint) {
  std::int64_t* extra = &limbs_[count_ * pieces + 1];
  extra[0] = static_cast<std::int64_t>(fingerprint);
  extra[1] = static_cast<std::int64_t>(fingerprint * fingerprint);
  extra[2] = terms_.empty() ? 0 : *std::max_element(terms_.begin(), terms_.end());
  for (std::size_t i = 0; i < count_; ++i) carry(&limbs_[i * pieces]);
  comm.sum(limbs_);
  const auto ranks = static_cast<std::uint64_t>(comm.size());
  if (static_cast<std::uint64_t>(extra[0]) != ranks * fingerprint ||
      static_cast<std::uint64_t>(extra[1]) != ranks * fingerprint * fingerprint)
    throw NumericalError("the ranks disagree about the state of the computation (bits differ)");
  if (extra[2] > most_terms)
    throw NumericalError("an exact sum has more than 2^34 terms; use fewer samples or sequences");
  std::fill(terms_.begin(), terms_.end(), extra[2]);
}

double ExactSums::value(std::size_t i, std::size_t stride, std::size_t groups) const {
  if (poisoned()) return std::numeric_limits<double>::quiet_NaN();
  std::array<std::int64_t, pieces> digit{};
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t k = 0; k < pieces; ++k) digit[k] += limbs_[(i + g * stride) * pieces + k];
  carry(digit.data());
  // Rounding must not depend on the sign, so that opposite sums stay opposite.
  const bool negative = digit[pieces - 1] < 0;
  if (negative) {
    for (auto& d : digit) d = -d;
    carry(digit.data());
  }
  double value = 0;
  for (int k = 0; k < pieces; ++k)
    value += std::ldexp(static_cast<double>(digit[k]), lowest_exponent + 32 * k);
  return negative ? -value : value;
}

std::uint64_t fingerprint(std::span<const double> values) {
  Hash hash;
  for (const double value : values) hash.add(std::bit_cast<std::uint64_t>(value));
  return hash.value();
}

}  // namespace headflow
