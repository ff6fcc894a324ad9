#include <gtest/gtest.h>

#include "core/flush_denormals.hpp"

namespace headflow {
namespace {

TEST(FlushDenormals, whileItLives) {
  const volatile double small = 1e-308;
  {
    const FlushDenormals fast;
    EXPECT_EQ(small * 0.1, 0);
  }
  EXPECT_GT(small * 0.1, 0);
}

}  // namespace
}  // namespace headflow
