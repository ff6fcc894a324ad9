#include <gtest/gtest.h>

#include "output/output_file.hpp"

namespace headflow {
namespace {

TEST(OutputFile, isUpdatedAsOftenAsWasAsked) {
  for (const double write_seconds : {0.0, 1e-3, 10.0}) {
    EXPECT_TRUE(update_is_due(0, 0, write_seconds)) << "each time, however slow the disk is";
    EXPECT_FALSE(update_is_due(0, 5, write_seconds));
  }
  EXPECT_TRUE(update_is_due(5.1, 5, 0.1));
  EXPECT_FALSE(update_is_due(4.9, 5, 0.01));
  EXPECT_FALSE(update_is_due(5.1, 5, 0.2)) << "writing would take 4 % of the time";
  EXPECT_TRUE(update_is_due(10.1, 5, 0.2));
}

}  // namespace
}  // namespace headflow
