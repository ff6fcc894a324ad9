#pragma once
// Loops over pieces whose sizes the compiler knows.
#include <type_traits>
#include <utility>

namespace headflow {

/// A number that the compiler knows.
template <int N>
using Count = std::integral_constant<int, N>;

/// Calls piece(width, begin) with a width that the compiler knows, at most `most` <= 6, so that the
/// pieces cover [0, n) and are about equal.
template <int most, int n, class Piece>
[[gnu::always_inline]] inline void for_pieces(Count<n>, Piece&& piece) {
  constexpr int pieces = (n + most - 1) / most;
  const auto each = [&]<int... t>(std::integer_sequence<int, t...>) __attribute__((always_inline)) {
    (piece(Count<(t + 1) * n / pieces - t * n / pieces>{}, t * n / pieces), ...);
  };
  each(std::make_integer_sequence<int, pieces>{});
}

template <int most, class Piece>
[[gnu::always_inline]] inline void for_pieces(int n, Piece&& piece) {
  static_assert(most <= 6);
  const int pieces = (n + most - 1) / most;
  const int width = pieces <= 1 ? n : n / pieces;
  const int wider = n - width * pieces;  // pieces that have one more
  for (int t = 0, begin = 0; t < pieces; ++t) {
    const int size = width + (t < wider ? 1 : 0);
    switch (size) {
      case 1:
        piece(Count<1>{}, begin);
        break;
      case 2:
        piece(Count<2>{}, begin);
        break;
      case 3:
        piece(Count<3>{}, begin);
        break;
      case 4:
        piece(Count<4>{}, begin);
        break;
      case 5:
        if constexpr (most >= 5) piece(Count<5>{}, begin);
        break;
      default:
        if constexpr (most >= 6) piece(Count<6>{}, begin);
        break;
    }
    begin += size;
  }
}

}  // namespace headflow
