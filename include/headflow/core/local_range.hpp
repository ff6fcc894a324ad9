#pragma once
#include <cstdint>

namespace headflow {

/// A half-open range of global indices.
struct IndexRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

/// The contiguous share of `count` items that belongs to `rank` of `size`; shares differ by one at
/// most.
constexpr IndexRange local_range(int rank, std::int64_t count, int size) {
  const std::int64_t share = count / size;
  const std::int64_t rest = count % size;
  const auto begin_of = [&](std::int64_t r) { return r * share + (r < rest ? r : rest); };
  return {begin_of(rank), begin_of(rank + 1)};
}

/// count / by, rounded up.
inline std::int64_t divided_up(std::int64_t count, std::int64_t by) {
  return (count + by - 1) / by;
}

}  // namespace headflow
