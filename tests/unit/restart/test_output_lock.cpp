// Which lock files stop a run: those of runs that live.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "core/paths.hpp"
#include "headflow/core/control.hpp"
#include "headflow/core/error.hpp"
#include "restart/output_lock.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

class OutputLocks : public testing::Test {
 protected:
  OutputLocks() : output_(fs::temp_directory_path() / ("lock." + std::to_string(getpid()))) {}
  ~OutputLocks() override { fs::remove(lock_file(output_)); }
  static OutputLock::Options options(const std::string& place, bool flock, double every) {
    return {.beat_every = every, .place = place, .flock = flock};
  }
  std::string text() const {
    std::ostringstream text;
    text << std::ifstream(lock_file(output_)).rdbuf();
    return text.str();
  }

  std::string output_;
};

TEST_F(OutputLocks, areRemovedAndTakenAgain) {
  for (const bool flock : {true, false})
    for (int time = 0; time < 2; ++time) {
      { const OutputLock lock(output_, options("", flock, 1)); }
      EXPECT_FALSE(fs::exists(lock_file(output_)));
    }
}

TEST_F(OutputLocks, refuseASecondRunInOnePlace) {
  for (const bool flock : {true, false}) {
    const OutputLock lock(output_, options("", flock, 1));
    EXPECT_THROW(OutputLock(output_, options("", flock, 1)), InputError);
    EXPECT_TRUE(fs::exists(lock_file(output_)));
  }
}

// Without flock, by the beat alone.
TEST_F(OutputLocks, refuseASecondRunElsewhereThatBeats) {
  const OutputLock lock(output_, options("", false, 1));
  EXPECT_THROW(OutputLock(output_, options("elsewhere", false, 1)), InputError);
}

TEST_F(OutputLocks, ofTheDeadAreTakenOver) {
  std::string left;
  {
    const OutputLock lock(output_, options("", false, 0.02));
    left = text();
  }
  std::string other_process = left;
  other_process.replace(left.find("birth "), 6, "birth 1");
  for (const auto& [content, place] :
       {std::pair(other_process, ""), std::pair(left, "elsewhere"), std::pair(std::string(), "")}) {
    std::ofstream(lock_file(output_)) << content;
    const OutputLock lock(output_, options(place, false, 0.02));
    EXPECT_NE(text(), content);
  }
}

/// A beat is looked for at least once, however short the time between two.
TEST_F(OutputLocks, ofALateBeatAreRefused) {
  std::string left;
  {
    const OutputLock lock(output_, options("", true, 0.3));
    left = text();
  }
  std::ofstream(lock_file(output_)) << left;
  OutputLock::Options other = options("elsewhere", false, 0.3);
  other.stopped = [&] {
    std::ofstream(lock_file(output_)) << left << "later\n";
    return false;
  };
  EXPECT_THROW(OutputLock(output_, other), InputError);
}

/// Nobody waits longer than three beats: with a look at each quarter of one, for 12 of them.
TEST_F(OutputLocks, ofTheDeadAreLookedAtForThreeBeats) {
  std::string left;
  {
    const OutputLock lock(output_, options("", true, 0.02));
    left = text();
  }
  std::ofstream(lock_file(output_)) << left;
  int looks = 0;
  OutputLock::Options other = options("elsewhere", false, 0.02);
  other.stopped = [&] { return ++looks > 1000; };
  { const OutputLock lock(output_, other); }
  EXPECT_GE(looks, 1);
  EXPECT_LE(looks, 13) << "and one, because times are rounded";
}

/// Whoever holds the kernel's lock needs to ask nobody: the process that is named has let go of it.
TEST_F(OutputLocks, thatNobodyHoldsAreTakenOver) {
  std::string left;
  {
    const OutputLock lock(output_, options("", true, 1));
    left = text();
  }
  std::ofstream(lock_file(output_)) << left;
  EXPECT_THROW(OutputLock(output_, options("", false, 1)), InputError) << "it is this process";
  const OutputLock lock(output_, options("", true, 1));
  EXPECT_NE(text(), left);
}

/// The 22nd field of its `stat`: when it was started.
TEST_F(OutputLocks, nameTheirProcess) {
  const OutputLock lock(output_, options("", true, 1));
  std::ostringstream stat;
  stat << std::ifstream("/proc/self/stat").rdbuf();
  std::istringstream fields(stat.str().substr(stat.str().rfind(')') + 1));
  std::vector<std::string> words;
  for (std::string word; fields >> word;) words.push_back(word);
  EXPECT_NE(text().find("\nbirth " + words.at(22 - 3) + "\n"), std::string::npos) << text();
  EXPECT_NE(text().find("\nprocess " + std::to_string(getpid()) + "\n"), std::string::npos);
}

/// Two runs may find the same lock dead at the same time: the last to write it has it. Between its
/// writing and its second look a run waits here for 3 s.
TEST_F(OutputLocks, areOfTheLastOfTwoThatFoundOneDead) {
  std::string left;
  {
    const OutputLock lock(output_, options("", false, 0.02));
    left = text();
  }
  std::ofstream(lock_file(output_)) << left;
  std::atomic<bool> over = false;
  std::thread other([&] {
    while (text().find("every 12\n") == std::string::npos) {
      if (over) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::ofstream(lock_file(output_)) << "headflow lock 1\nid other\nhost there\n";
  });
  testing::internal::CaptureStdout();
  EXPECT_THROW(OutputLock(output_, options("elsewhere", false, 12)), InputError);
  const std::string printed = testing::internal::GetCapturedStdout();
  over = true;
  other.join();
  EXPECT_NE(printed.find("looking for up to 0.06 s"), std::string::npos) << printed;
  EXPECT_NE(text().find("host there"), std::string::npos);
}

TEST_F(OutputLocks, tellTheLoser) {
  const OutputLock lock(output_, options("", false, 0.01));
  EXPECT_NO_THROW(lock.require_held());
  std::ofstream(lock_file(output_)) << "headflow lock 1\nid other\n";
  const auto lost = [&] {
    try {
      lock.require_held();
    } catch (const FileError&) {
      return true;
    }
    return false;
  };
  while (!lost()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(text(), "headflow lock 1\nid other\n");
}

TEST_F(OutputLocks, refuseWhatTheyCannotBe) {
  std::ofstream(lock_file(output_)) << "notes of my own\n";
  EXPECT_THROW(OutputLock(output_, options("", true, 1)), InputError);
  EXPECT_EQ(text(), "notes of my own\n");
  fs::remove(lock_file(output_));
  fs::create_symlink("elsewhere", lock_file(output_));
  EXPECT_THROW(OutputLock(output_, options("", true, 1)), InputError);
  EXPECT_FALSE(fs::exists(output_ + "/../elsewhere"));
  EXPECT_THROW(OutputLock(output_ + "/missing/x", options("", true, 1)), InputError);
}

/// The message of the InputError that a lock throws, or none.
std::string error_of(const std::string& output, const OutputLock::Options& options) {
  try {
    const OutputLock lock(output, options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "none";
}

/// Another run has made the file, and written nothing yet.
TEST_F(OutputLocks, refuseARunThatBeginsAtTheSameTime) {
  const int file = ::open(lock_file(output_).c_str(), O_RDWR | O_CREAT, 0666);
  ASSERT_EQ(::flock(file, LOCK_EX), 0);
  EXPECT_EQ(error_of(output_, options("", true, 1)),
            "output " + output_ + " is held by another run that begins just now");
  ::close(file);
}

/// A limit on the size of files, as of a disk that takes names and no content.
TEST_F(OutputLocks, thatCannotBeWrittenAreRemoved) {
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  const std::string error = error_of(output_, options("", true, 1));
  EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(error, "cannot make " + lock_file(output_) + ": " + std::strerror(EFBIG));
  EXPECT_FALSE(fs::exists(lock_file(output_)));
}

/// A wait for the beat of another run ends when this one is to stop.
TEST_F(OutputLocks, doNotWaitLongerThanTheyMay) {
  std::string left;
  {
    const OutputLock lock(output_, options("", false, 1));
    left = text();
  }
  std::ofstream(lock_file(output_)) << left;
  OutputLock::Options stopped = options("elsewhere", false, 1);
  stopped.stopped = [] { return true; };
  EXPECT_THROW(OutputLock(output_, stopped), Interrupt);
  EXPECT_EQ(text(), left);
}

TEST(Paths, followLinksToTheirEnd) {
  const fs::path folder = fs::temp_directory_path() / ("links." + std::to_string(getpid()));
  fs::create_directory(folder);
  const auto at = [&](const char* name) { return (folder / name).string(); };
  fs::create_symlink("b", at("a"));
  fs::create_symlink(at("end"), at("b"));
  fs::create_symlink("loop", at("loop"));
  EXPECT_EQ(follow_links(at("a")), at("end"));
  EXPECT_EQ(follow_links(at("plain")), at("plain"));
  EXPECT_THROW(follow_links(at("loop")), InputError);
  fs::remove_all(folder);
}

TEST(Paths, obstaclesAreTold) {
  EXPECT_EQ(obstacle_at("/dev/null"), "is a device");
  EXPECT_EQ(obstacle_at("/"), "is a folder");
  EXPECT_EQ(obstacle_at("/missing/file"), "");
  EXPECT_NE(obstacle_at("/dev/null/file"), "");
  EXPECT_EQ(obstacle_at("/proc/self/status"), "");
}

TEST(Paths, companionsOfDifferentOutputsDiffer) {
  EXPECT_EQ(companion("a/case.h5", "checkpoint-1"), "a/case.checkpoint-1.h5");
  EXPECT_EQ(companion("case", "checkpoint-1"), "case.checkpoint-1");
  EXPECT_EQ(companion("scan_D1.0", "checkpoint-1"), "scan_D1.0.checkpoint-1");
  for (const char* name :
       {"a.part", "a.stop", "a.lock", "a.checkpoint-1", "b/a.checkpoint-12.h5", "a.weights-7.h5"})
    EXPECT_TRUE(is_companion(name)) << name;
  for (const char* name : {"a.h5", "weights-7.h5", "a.checkpoint-.h5", "a.checkpoint-1.hdf5", "1"})
    EXPECT_FALSE(is_companion(name)) << name;
}

}  // namespace
}  // namespace headflow
