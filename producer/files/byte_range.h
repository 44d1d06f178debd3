// The Range header of a request (RFC 9110, 14): one range of bytes.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/http/message.h"

namespace sluice::producer {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct RangeAnswer {
  int status = 200;    // 200: all of it; 206: `range`; 416: there is nothing where the range lies.
  ByteRange range;     // What to send; nothing for 416.
  std::string header;  // The value of Content-Range; empty: none.
};

// What to send of `size` bytes. More than one range, another unit and what can't be read count as no Range;
// so does one whose If-Range names another version than `etag`.
RangeAnswer choose_range(const http::RequestHead& head, std::uint64_t size, const std::string& etag);

// True if If-None-Match says that the client has this version.
bool has_version(const http::Headers& headers, const std::string& etag);

}  // namespace sluice::producer
