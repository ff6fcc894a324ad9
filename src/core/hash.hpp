#pragma once
#include <cstdint>

namespace headflow {

/// A 64-bit hash of a sequence of words: h = (h ^ word) * c, h ^= h >> 32 for each of them, where c
/// is the first multiplier of MurmurHash3's finaliser. Any change of one word changes the result.
/// Files hold its values.
class Hash {
 public:
  explicit Hash(std::uint64_t salt = 0) : value_(0x9e3779b97f4a7c15 ^ salt) {}
  void add(std::uint64_t word) {
    value_ = (value_ ^ word) * 0xff51afd7ed558ccd;
    value_ ^= value_ >> 32;
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_;
};

}  // namespace headflow
