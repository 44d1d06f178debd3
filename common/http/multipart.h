// multipart/form-data (RFC 7578), pushed in as it comes: parts in any order, files in pieces. What is held at
// one time is bounded, whatever the sender does.
//
//   SLUICE_ASSIGN(std::string boundary, multipart_boundary(content_type));
//   MultipartParser parser(boundary, form);
//   SLUICE_TRY(parser.push(bytes));  // As often as bytes come, however they are cut.
//   SLUICE_TRY(parser.finish());
//
// Not safe for concurrent use. Texts are as they came: nobody has checked that they are UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace sluice::http {

struct MultipartLimits {
  std::size_t header_bytes_max = 8 * 1024;  // Of one part.
  std::size_t field_bytes_max = 64 * 1024;  // Of one part without a file name.
  int parts_max = 64;
};

struct MultipartFile {
  std::string name;          // Of the form's field.
  std::string filename;      // May be empty, and may look like a path.
  std::string content_type;  // Empty: not given.
};

// Who is told what is found. An error ends the parsing and is what push() returns.
class MultipartForm {
 public:
  virtual ~MultipartForm() = default;
  virtual Status on_field(const std::string& name, const std::string& value) = 0;
  virtual Status on_file(const MultipartFile& file) = 0;     // Its content comes next …
  virtual Status on_file_bytes(std::string_view bytes) = 0;  // … in pieces that are never empty …
  virtual Status on_file_end() = 0;                          // … until here.
};

// The boundary that a Content-Type names. kInvalid: another media type, or no valid boundary.
Result<std::string> multipart_boundary(std::string_view content_type);

class MultipartParser {
 public:
  // `form` must outlive the parser.
  MultipartParser(std::string_view boundary, MultipartForm& form, MultipartLimits limits = {});

  // kInvalid: the text is no such form, or beyond a limit; the message says which and quotes nothing. After
  // an error nothing more may be pushed.
  Status push(std::string_view bytes);
  // kInvalid: the text ended before its closing boundary.
  Status finish() const;

 private:
  enum class Place {
    kPreamble,
    kBoundaryEnd,  // Behind a boundary: another part, or the end.
    kHeader,
    kContent,
    kEpilogue,
  };

  Result<bool> step();  // False: needs more bytes.
  Result<bool> find_boundary();
  Result<bool> end_boundary();
  Result<bool> read_header_line();
  Status take_header(std::string_view line);
  Status begin_part();
  Status content(std::string_view bytes);
  Status end_part();
  std::string_view rest() const { return std::string_view(buffer_).substr(used_); }

  const std::string delimiter_;  // CR LF, two hyphens, the boundary.
  MultipartForm& form_;
  const MultipartLimits limits_;
  Place place_ = Place::kPreamble;
  std::string buffer_;
  std::size_t used_ = 0;  // Of the buffer.

  // The part in hand.
  int parts_ = 0;
  std::size_t header_bytes_ = 0;
  bool has_disposition_ = false;
  bool is_file_ = false;
  MultipartFile part_;
  std::string value_;  // Of a field.
};

}  // namespace sluice::http
