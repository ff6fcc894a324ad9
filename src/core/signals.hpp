#pragma once

namespace headflow {

/// The signals of batch systems: SIGUSR1, SIGTERM and SIGINT ask to save and stop, SIGUSR2 to save
/// and go on; a second SIGINT ends the program at once. Installed at the
/// program's start, and again after PETSc has put its own in their place.
void install_signal_handlers();

/// What has arrived on this process.
bool stop_signalled();
/// The same for SIGUSR2; forgets it.
bool take_checkpoint_signal();

}  // namespace headflow
