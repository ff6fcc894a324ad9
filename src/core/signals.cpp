#include "core/signals.hpp"

#include <unistd.h>

#include <csignal>
#include <initializer_list>

namespace headflow {
namespace {

volatile std::sig_atomic_t stop_flag = 0;
volatile std::sig_atomic_t checkpoint_flag = 0;

extern "C" void handle(int number) {
  if (number == SIGINT && stop_flag == SIGINT) _exit(128 + SIGINT);
  if (number == SIGUSR2)
    checkpoint_flag = 1;
  else
    stop_flag = number;
}

void set_action(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP, SIGXCPU}) {
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    if (number != SIGHUP || before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);
  }
}

}  // namespace

void install_signal_handlers() {
  set_action(handle);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is then an error of what writes
}

void default_signal_actions() {
  set_action(SIG_DFL);
  if (stop_flag != 0) raise(stop_flag);
}

bool stop_signalled() { return stop_flag != 0; }

bool signal_waits() { return stop_flag != 0 || checkpoint_flag != 0; }

bool take_checkpoint_signal() {
  const bool taken = checkpoint_flag != 0;
  checkpoint_flag = 0;
  return taken;
}

}  // namespace headflow
