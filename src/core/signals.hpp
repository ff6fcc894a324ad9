#pragma once

namespace headflow {

/// The signals of batch systems: SIGUSR1, SIGTERM, SIGINT, SIGHUP and SIGXCPU ask to save and stop,
/// SIGUSR2 to save and go on; a second SIGINT ends the program at once. SIGHUP stays ignored where
/// it was, as under nohup. Installed at the program's start, and again after libraries have put
/// their own in their place.
void install_signal_handlers();
/// Gives the signals their usual actions back, for work that does not ask for them. One that has
/// arrived takes effect.
void default_signal_actions();

/// What has arrived on this process.
bool stop_signalled();
/// Whether one of either kind has, which stays.
bool signal_waits();
/// The same for SIGUSR2; forgets it.
bool take_checkpoint_signal();

}  // namespace headflow
