// Internal to the MySQL stores: how rows of `dead_letter` are chosen and read.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/dead_letter_store.h"

namespace sluice::store {

// SELECT list and FROM clause of a letter `d`, in the order that read_letter expects.
extern const char* const kSelectLetter;
DeadLetter read_letter(const Row& row);

// Appends " AND …" for everything that the filter chooses.
void add_filter(Sql& sql, const DeadLetterFilter& filter);

}  // namespace sluice::store
