// When a run saves and when it stops. Nothing here depends on how long anything takes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "core/signals.hpp"
#include "headflow/core/error.hpp"
#include "restart/watch.hpp"

namespace headflow {
namespace {

namespace fs = std::filesystem;

std::string temporary(const std::string& name) {
  return (fs::temp_directory_path() / (name + "." + std::to_string(getpid()))).string();
}

void until(auto&& done) {
  while (!done()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

TEST(WallTime, isReadAsTheClockWritesIt) {
  std::string warning;
  const std::pair<const char*, double> good[] = {
      {"90", 90},       {"1:30", 90},   {"1:00:00", 3600},  {"01:02:03.5", 3723.5},
      {"100:00", 6000}, {"0.25", 0.25}, {"1000000000", 1e9}};
  for (const auto& [text, seconds] : good) EXPECT_EQ(wall_seconds_of(text, warning), seconds);
  EXPECT_EQ(wall_seconds_of("", warning), INFINITY);
  for (const char* text : {"0", "1:60", "1::2", ":1", "1:", "1:2:3:4", "-1", "1e3", "1000000001",
                           "1.2.3", "soon", "1:-1", "0:0:0"})
    EXPECT_THROW(wall_seconds_of(text, warning), InputError) << text;
  EXPECT_EQ(warning, "");
}

TEST(WallTime, ofAJobIsWhatIsLeftOfIt) {
  const auto left = [](const std::string& end, std::string& warning) {
    setenv("SLURM_JOB_END_TIME", end.c_str(), 1);
    const double seconds = wall_seconds_of("auto", warning);
    unsetenv("SLURM_JOB_END_TIME");
    return seconds;
  };
  std::string warning;
  EXPECT_EQ(wall_seconds_of("auto", warning), INFINITY);
  const auto now = static_cast<double>(std::time(nullptr));
  const double seconds = left(std::to_string(static_cast<std::int64_t>(now) + 100'000), warning);
  EXPECT_LE(seconds, 100'000);
  EXPECT_GT(seconds, 50'000);
  EXPECT_EQ(warning, "");
  for (const char* end : {"1", "", "soon", "99999999999x"}) {
    warning.clear();
    EXPECT_EQ(left(end, warning), INFINITY) << end;
    EXPECT_NE(warning.find("SLURM_JOB_END_TIME"), std::string::npos) << end;
  }
}

class WatchOfARun : public testing::Test {
 protected:
  Watch watch(Watch::Limits limits = {}) const { return {comm_, std::move(limits)}; }
  Communicator comm_ = Communicator::self();
};

TEST_F(WatchOfARun, asksForNothingWithoutAReason) {
  Watch watch = this->watch();
  EXPECT_EQ(watch.between_steps(), Request::none);
  EXPECT_NO_THROW(watch.within_step());
  EXPECT_EQ(watch.reason(), "");
}

TEST_F(WatchOfARun, savesAsOftenAsItIsTold) {
  Watch always = watch({.checkpoint_every = 0});
  EXPECT_EQ(always.between_steps(), Request::checkpoint);
  EXPECT_EQ(always.between_steps(), Request::checkpoint);
  Watch once = watch({.checkpoint_every = 1e6});
  EXPECT_EQ(once.between_steps(), Request::none);
}

/// Three times as long as the longest save took, and a second, must be left.
TEST_F(WatchOfARun, stopsWhileThereIsTimeToSave) {
  for (const auto& [wall, stops] : {std::pair(3001.0, true), std::pair(20'000.0, false)}) {
    Watch watch = this->watch({.wall_seconds = wall});
    watch.saved(1000);
    watch.saved(1);
    EXPECT_EQ(watch.between_steps(), stops ? Request::stop : Request::none) << wall;
    EXPECT_EQ(watch.reason(), stops ? "wall time" : "");
    if (stops) {
      EXPECT_THROW(watch.within_step(), Interrupt);
    }
  }
}

TEST_F(WatchOfARun, stopsForAFileAndForOtherRanks) {
  const std::string file = temporary("stop");
  Watch by_file = watch({.stop_file = file});
  EXPECT_EQ(by_file.between_steps(), Request::none);
  std::ofstream{file};
  until([&] { return by_file.must_stop(); });
  EXPECT_EQ(by_file.reason(), "stop file");
  EXPECT_FALSE(fs::exists(file));
  EXPECT_EQ(by_file.between_steps(), Request::stop) << "it remembers";
  Watch by_others = watch({.stopped_elsewhere = [] { return true; }});
  until([&] { return by_others.must_stop(); });
  EXPECT_EQ(by_others.reason(), "other ranks");
}

TEST_F(WatchOfARun, savesAndGoesOnForOneSignal) {
  install_signal_handlers();
  Watch watch = this->watch();
  EXPECT_FALSE(signal_waits());
  std::raise(SIGUSR2);
  EXPECT_TRUE(signal_waits());
  EXPECT_EQ(watch.between_steps(), Request::checkpoint);
  EXPECT_EQ(watch.between_steps(), Request::none);
  default_signal_actions();
  std::signal(SIGXFSZ, SIG_DFL);
}

TEST(Pauses, holdARunUntilItIsLetGo) {
  const auto pause = [](const std::string& text) {
    setenv("HEADFLOW_PAUSE", text.c_str(), 1);
    try {
      Pause pause;
      unsetenv("HEADFLOW_PAUSE");
      return pause;
    } catch (...) {
      unsetenv("HEADFLOW_PAUSE");
      throw;
    }
  };
  EXPECT_FALSE(Pause().hold());
  for (const char* text : {"", "3", "3:", "0:gate", "-1:gate", "x:gate"})
    EXPECT_THROW(pause(text), InputError) << text;
  EXPECT_NO_THROW(pause("1:gate"));
  const std::string gate = temporary("gate");
  Pause second = pause("2:" + gate);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(second.hold()) << "no gate";
  std::ofstream{gate};
  EXPECT_FALSE(second.hold());
  // Let go by whoever removes the one file, or the other; each says which pause it is.
  std::string questions = "6";
  for (const std::string& key : {gate + ".paused", gate}) {
    std::string read;
    std::thread other([&] {
      until([&] { return fs::exists(gate + ".paused"); });
      std::ifstream(gate + ".paused") >> read;
      fs::remove(key);
    });
    EXPECT_TRUE(second.hold());
    other.join();
    EXPECT_EQ(std::exchange(questions, "8"), read);
    EXPECT_FALSE(fs::exists(gate + ".paused"));
    EXPECT_FALSE(second.hold());
  }
}

}  // namespace
}  // namespace headflow
