#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/mailbox.hpp"
#include "core/mpi_count.hpp"
#include "core/report.hpp"
#include "headflow/core/mpi.hpp"
#include "support.hpp"

namespace headflow {
namespace {

using testing_support::world;

TEST(OneLine, canBePrintedWhateverStandsInIt) {
  EXPECT_EQ(one_line("caf\u00e9 \u20ac \U0001f600"), "caf\u00e9 \u20ac \U0001f600");
  EXPECT_EQ(one_line("a\nb\tc\x7f\x1b[1m"), "a\\nb\\x09c\\x7f\\x1b[1m");
  EXPECT_EQ(one_line("\xe9 \xc3"), "\\xe9 \\xc3");  // Latin 1, and cut off
  EXPECT_EQ(one_line("\u202e\u0085"), "\\xe2\\x80\\xae\\xc2\\x85");
  std::string text = "begin ";
  text = one_line(text.append(10'000, 'x').append(" end"));
  EXPECT_EQ(text.size(), 1506U);
  EXPECT_TRUE(text.starts_with("begin x"));
  EXPECT_TRUE(text.ends_with("x end"));
}

TEST(DistributedCommunicator, knowsItsRanks) {
  int rank = -1, size = 0;
  MPI_Comm_rank(world().handle(), &rank);
  MPI_Comm_size(world().handle(), &size);
  EXPECT_EQ(world().rank(), rank);
  EXPECT_EQ(world().size(), size);
  const Communicator alone = world().split(rank);
  EXPECT_EQ(alone.rank(), 0);
  EXPECT_EQ(alone.size(), 1);
  Communicator moved = Communicator::self();
  moved = Communicator::world();
  EXPECT_EQ(moved.rank(), rank);
  EXPECT_EQ(moved.size(), size);
}

TEST(DistributedCommunicator, barriersHoldAllForTheLast) {
  namespace fs = std::filesystem;
  const std::string pid = world().broadcast(std::to_string(getpid()));
  for (int last = 0; last < world().size(); ++last)
    for (const auto barrier : {&Communicator::barrier, &Communicator::sleeping_barrier}) {
      const fs::path late = fs::temp_directory_path() / ("late." + pid);
      if (world().rank() == last) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::ofstream{late};
      }
      (world().*barrier)();
      EXPECT_TRUE(fs::exists(late)) << "rank " << last << " has not come";
      world().barrier();
      if (world().rank() == last) fs::remove(late);
      world().barrier();
    }
}

TEST(DistributedCommunicator, errorsOfMpiComeBackWithTheCall) {
  const Communicator copies[] = {Communicator::world(), Communicator::self(), world().split(0)};
  for (const Communicator& comm : copies) {
    try {
      comm.broadcast(1.0, 999);  // no such rank
      FAIL() << "no error";
    } catch (const NumericalError& error) {
      EXPECT_NE(std::string(error.what()).find("MPI_Bcast"), std::string::npos) << error.what();
    }
  }
}

TEST(DistributedCommunicator, gathersDifferentCounts) {
  const std::vector<double> mine(static_cast<std::size_t>(world().rank()), world().rank());
  std::vector<double> expected;
  for (int rank = 0; rank < world().size(); ++rank)
    expected.insert(expected.end(), static_cast<std::size_t>(rank), rank);
  EXPECT_EQ(world().all_gather(mine), expected);
}

TEST(MessageCount, isRefusedBeyondAnInt) {
  EXPECT_EQ(mpi_count(2147483647, "MPI_Isend"), 2147483647);
  try {
    mpi_count(2147483648, "MPI_Isend");
    FAIL() << "no error";
  } catch (const NumericalError& error) {
    EXPECT_STREQ(error.what(),
                 "MPI_Isend cannot send 2147483648 items at once: the most are 2147483647");
  }
}

TEST(DistributedMailbox, everyMessageArrivesOnce) {
  const int each = 20;
  Mailbox mailbox(world());
  // Short ones are buffered by MPI, long ones wait until they are received.
  for (int i = 0; i < each; ++i)
    mailbox.send(std::to_string(world().rank()) + " " + std::to_string(i) +
                 std::string(i % 2 == 0 ? 0 : 100'000, '.'));
  if (world().root()) {
    std::vector<int> next(static_cast<std::size_t>(world().size()), 0);
    for (int i = 0; i < each * world().size();) {
      const auto message = mailbox.receive();
      if (!message) continue;
      const auto rank = std::stoul(message->text);
      EXPECT_EQ(static_cast<int>(rank), message->from);
      EXPECT_EQ(std::stoi(message->text.substr(message->text.find(' '))), next.at(rank)++);
      ++i;
    }
    for (int rank = 1; rank < world().size(); ++rank) mailbox.send("thanks", rank);
  } else {
    std::optional<Mailbox::Message> answer;
    while (!answer) answer = mailbox.receive();
    EXPECT_EQ(answer->text, "thanks");
  }
  EXPECT_FALSE(mailbox.receive());
}

}  // namespace
}  // namespace headflow
