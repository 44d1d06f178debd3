// Waits for SIGTERM or SIGINT in main, so that no code of ours runs inside a signal handler.
#pragma once

namespace sluice {

// Call in main before any thread starts: blocks the two signals in all threads to come and ignores SIGPIPE.
void block_stop_signals();
// Returns the signal that came.
int wait_for_stop_signal();

// Raises RLIMIT_NOFILE to its hard limit and returns it.
unsigned long raise_open_files_limit();

}  // namespace sluice
