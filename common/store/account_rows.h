// Internal to the MySQL stores: how keys and their scopes are kept.
#pragma once

#include <string>
#include <string_view>

#include "common/base/secret.h"

namespace sluice::store {

std::string key_hash(const Secret& api_key);  // 32 bytes.
// What may be shown of it: its last characters.
std::string key_hint(const Secret& api_key);
// "submit,read", and back.
std::string scope_set(unsigned scopes);
unsigned scopes_from(std::string_view set);

}  // namespace sluice::store
