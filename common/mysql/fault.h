// What an error number of the server or of its client library means for the caller. Pure; internal to this
// folder and its tests.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace sluice::mysql {

// Where the statement stood when the error came.
enum class Phase { kConnect, kQuery, kExecute, kInTransaction, kCommit };

struct Fault {
  Error error;
  bool broken = false;             // The connection is of no more use.
  bool retry_transaction = false;  // Rolled back by the server, or must be: run it all again.
};

// `text` is the server's message; of it only what can hold no row's data reaches the error.
Fault classify(int number, std::string_view text, Phase phase);

}  // namespace sluice::mysql
