#include "producer/files/file_upload.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "common/base/failpoint.h"
#include "common/http/error_response.h"
#include "producer/api/answers.h"
#include "producer/api/field_errors.h"
#include "producer/files/file_names.h"

namespace sluice::producer {

namespace {

// What can be done with a file here. The others of OpenAI's belong to services that we don't have.
constexpr std::array<std::string_view, 2> kPurposes = {"batch", "user_data"};
constexpr std::int64_t kExpiresMinS = 3600;
constexpr std::int64_t kExpiresMaxS = 2'592'000;
constexpr std::string_view kAnchorField = "expires_after[anchor]";
constexpr std::string_view kSecondsField = "expires_after[seconds]";

}  // namespace

FileUpload::FileUpload(FileStore& files, FileId id, TenantId tenant, FileUploadConfig config, Clock& clock,
                       std::optional<Claim> claim)
    : files_(files),
      file_{std::move(id), std::move(tenant), "", "", {}},
      config_(config),
      clock_(clock),
      claim_(std::move(claim)) {}

Status FileUpload::refuse(int status, std::string_view code, std::string_view message,
                          std::string_view param) {
  refusal_ = UploadRefusal{
      std::string(code),
      http::error_response(status, http::error_type::kInvalidRequest, code, message,
                           param.empty() ? std::nullopt : std::optional<std::string_view>(param))};
  return fail(ErrorCode::kInvalid, std::string(code));
}

Status FileUpload::failed(const Error& error) {
  refusal_ = UploadRefusal{std::string(error_code_name(error.code)), store_failure(error)};
  return fail(error);
}

UploadRefusal FileUpload::refusal(const Error& error) const {
  if (refusal_) return *refusal_;
  return UploadRefusal{
      "invalid_multipart",
      http::error_response(400, http::error_type::kInvalidRequest, "invalid_multipart",
                           "The body can't be read as multipart/form-data: " + error.message + ".")};
}

Status FileUpload::on_field(const std::string& name, const std::string& value) {
  if (name == "purpose") return read_purpose(value);
  if (name == kAnchorField) return read_anchor(value);
  if (name == kSecondsField) return read_seconds(value);
  if (name == "file") {
    return refuse(400, "invalid_value", "The part 'file' needs a filename.", "file");
  }
  const std::string shown = field_name(name);
  return refuse(400, "unknown_field", "There is no field '" + shown + "'.", shown);
}

Status FileUpload::read_purpose(const std::string& value) {
  if (!file_.purpose.empty()) return refuse(400, "duplicate_field", "'purpose' is given twice.", "purpose");
  if (std::find(kPurposes.begin(), kPurposes.end(), value) == kPurposes.end()) {
    return refuse(400, "invalid_value", "'purpose' must be batch or user_data.", "purpose");
  }
  file_.purpose = value;
  return {};
}

Status FileUpload::read_anchor(const std::string& value) {
  if (has_anchor_) {
    return refuse(400, "duplicate_field", "'expires_after[anchor]' is given twice.", kAnchorField);
  }
  if (value != "created_at") {
    return refuse(400, "invalid_value", "'expires_after[anchor]' must be created_at.", kAnchorField);
  }
  has_anchor_ = true;
  return {};
}

Status FileUpload::read_seconds(const std::string& value) {
  if (file_.expires_in_s) {
    return refuse(400, "duplicate_field", "'expires_after[seconds]' is given twice.", kSecondsField);
  }
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error != std::errc() || end != value.data() + value.size() || seconds < kExpiresMinS ||
      seconds > kExpiresMaxS) {
    return refuse(400, "invalid_value",
                  "'expires_after[seconds]' must be a whole number from 3600 to 2592000.", kSecondsField);
  }
  file_.expires_in_s = seconds;
  return {};
}

Status FileUpload::on_file(const http::MultipartFile& file) {
  if (file.name != "file") {
    const std::string shown = field_name(file.name);
    return refuse(400, "unknown_field", "There is no file field '" + shown + "'.", shown);
  }
  if (writer_) return refuse(400, "duplicate_field", "'file' is given twice.", "file");
  auto name = plain_filename(file.filename);
  if (!name) {
    return refuse(400, "invalid_value",
                  "The filename must be UTF-8 of at most 255 characters, without control characters.",
                  "file");
  }
  file_.filename = std::move(*name);
  auto writer = FileWriter::open(files_, file_, deadline());
  if (!writer) return failed(writer.error());
  writer_ = std::move(*writer);
  return {};
}

Status FileUpload::on_file_bytes(std::string_view bytes) {
  if (writer_->bytes() + bytes.size() > config_.bytes_max) {
    return refuse(413, "file_too_large",
                  "A file has at most " + std::to_string(config_.bytes_max) + " bytes.", "file");
  }
  if (claim_) claim_->contents.add(bytes);
  count_lines(bytes);
  // As soon as it is known to be for a batch.
  if (file_.purpose == "batch") SLUICE_TRY(check_lines());
  if (const Status written = writer_->write(bytes, deadline()); !written) return failed(written.error());
  return {};
}

void FileUpload::count_lines(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (!line_counted_ && part.find_first_not_of(" \t\r") != std::string_view::npos) {
      line_counted_ = true;
      ++lines_;
    }
    if (end == std::string_view::npos) return;
    line_counted_ = false;
    bytes.remove_prefix(end + 1);
  }
}

Status FileUpload::check_lines() {
  if (lines_ <= config_.batch_lines_max) return {};
  return refuse(400, "too_many_lines",
                "A file for a batch has at most " + std::to_string(config_.batch_lines_max) + " lines.",
                "file");
}

Status FileUpload::check_form() {
  if (!writer_) return refuse(400, "missing_field", "'file' is required.", "file");
  if (file_.purpose.empty()) return refuse(400, "missing_field", "'purpose' is required.", "purpose");
  if (has_anchor_ != file_.expires_in_s.has_value()) {
    const std::string_view missing = has_anchor_ ? kSecondsField : kAnchorField;
    return refuse(400, "missing_field", "'" + std::string(missing) + "' is required with its counterpart.",
                  missing);
  }
  if (writer_->bytes() == 0) return refuse(400, "empty_file", "The file is empty.", "file");
  if (file_.purpose == "batch") return check_lines();
  return {};
}

tl::expected<FileInfo, UploadRefusal> FileUpload::finish() {
  const auto refused = [this](const Error& error) {
    abandon();
    return tl::unexpected(refusal(error));
  };
  if (const Status whole = check_form(); !whole) return refused(whole.error());
  writer_->file() = file_;  // Purpose and expiry may have come after the contents.
  if (claim_) {
    make_fingerprint();
    if (auto before = repeated()) return std::move(*before);
    writer_->file().claim = claim_->claim;
  }
  if (const Status flushed = writer_->flush(deadline()); !flushed) {
    (void)failed(flushed.error());
    return refused(flushed.error());
  }
  SLUICE_FAILPOINT("files.before_finish");
  auto done = writer_->finish(deadline());
  if (!done && claim_ && done.error().code == ErrorCode::kConflict) {
    // Another upload with the key may have been faster.
    if (auto before = repeated()) return std::move(*before);
  }
  if (!done) {
    (void)failed(done.error());
    // With an unknown outcome it may be there for good: then there is nothing to give up.
    return refused(done.error());
  }
  SLUICE_FAILPOINT("files.after_finish");
  return std::move(*done);
}

std::optional<tl::expected<FileInfo, UploadRefusal>> FileUpload::repeated() {
  auto made = find_made();
  if (made && !*made) return std::nullopt;
  abandon();
  if (!made) return tl::unexpected(std::move(made.error()));
  return std::move(**made);
}

void FileUpload::make_fingerprint() {
  std::string form = "/v1/files\n" + file_.purpose + "\n" + file_.filename + "\n";
  if (file_.expires_in_s) form += std::to_string(*file_.expires_in_s);
  claim_->claim.fingerprint = to_hex(sha256(form + "\n" + to_hex(claim_->contents.finish())));
}

tl::expected<std::optional<FileInfo>, UploadRefusal> FileUpload::find_made() const {
  auto existing = claim_->claims->find(file_.tenant, claim_->claim, deadline());
  if (!existing) {
    return tl::unexpected(UploadRefusal{"idempotency_key_refused", std::move(existing.error())});
  }
  if (!*existing) return std::nullopt;
  auto made = files_.get(file_.tenant, FileId{(*existing)->resource_id}, deadline());
  if (made) return std::move(*made);
  if (made.error().code != ErrorCode::kNotFound) {
    return tl::unexpected(
        UploadRefusal{std::string(error_code_name(made.error().code)), store_failure(made.error())});
  }
  return tl::unexpected(UploadRefusal{
      "file_not_found",
      http::error_response(404, http::error_type::kNotFound, "file_not_found",
                           "The file that was made with this Idempotency-Key is gone.", "Idempotency-Key")});
}

void FileUpload::abandon() {
  if (writer_) (void)writer_->abandon(deadline());
}

}  // namespace sluice::producer
