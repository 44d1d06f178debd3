// One upload: the parts of its form as they come, in any order, and the file that becomes of them. What is
// wrong is told as soon as it shows, also in the midst of the contents.
//
// For one owner, one thread at a time; calls block while the database writes. Store and clock must outlive
// it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/base/clock.h"
#include "common/crypto/crypto.h"
#include "common/http/message.h"
#include "common/http/multipart.h"
#include "common/store/file_store.h"
#include "common/store/file_writer.h"
#include "producer/api/request_claims.h"

namespace sluice::producer {

struct FileUploadConfig {
  std::uint64_t bytes_max = std::uint64_t{200} << 20;
  std::int64_t batch_lines_max = 50'000;            // Lines of a file for a batch that aren't blank.
  std::chrono::milliseconds chunk_timeout{20'000};  // Longest that one chunk may take to be written.
};

struct UploadRefusal {
  std::string code;
  http::Response response;
};

class FileUpload final : public http::MultipartForm {
 public:
  // `claims` must outlive it. What an upload with this claim made before is what becomes of this one.
  struct Claim {
    IdempotencyClaim claim;  // Its fingerprint follows from the form.
    const RequestClaims* claims = nullptr;
    Sha256Stream contents = {};
  };
  FileUpload(FileStore& files, FileId id, TenantId tenant, FileUploadConfig config, Clock& clock,
             std::optional<Claim> claim = std::nullopt);

  // An error is what refusal() explains.
  Status on_field(const std::string& name, const std::string& value) override;
  Status on_file(const http::MultipartFile& file) override;
  Status on_file_bytes(std::string_view bytes) override;
  Status on_file_end() override { return {}; }

  // Why it was refused; a parser's own error is told as a broken form.
  UploadRefusal refusal(const Error& error) const;
  // The form is complete: the file appears, or it is refused.
  tl::expected<FileInfo, UploadRefusal> finish();
  // Nothing comes of it. The sweep would find it, too.
  void abandon();

 private:
  Status read_purpose(const std::string& value);
  Status read_anchor(const std::string& value);
  Status read_seconds(const std::string& value);
  Status check_form();  // What only the whole form shows.
  // The file that the same upload made before; nullopt: none did.
  tl::expected<std::optional<FileInfo>, UploadRefusal> find_made() const;
  // Gives this upload up for it, or for why it can't be told; nullopt: nothing was made with the key.
  std::optional<tl::expected<FileInfo, UploadRefusal>> repeated();
  void make_fingerprint();
  void count_lines(std::string_view bytes);
  Status check_lines();
  Status refuse(int status, std::string_view code, std::string_view message, std::string_view param);
  Status failed(const Error& error);
  Deadline deadline() const { return Deadline::in(clock_, config_.chunk_timeout); }

  FileStore& files_;
  NewFile file_;
  const FileUploadConfig config_;
  Clock& clock_;
  std::optional<Claim> claim_;
  std::optional<FileWriter> writer_;  // Once the file's part has begun.
  bool has_anchor_ = false;
  std::int64_t lines_ = 0;     // That aren't blank.
  bool line_counted_ = false;  // The line in hand.
  std::optional<UploadRefusal> refusal_;
};

}  // namespace sluice::producer
