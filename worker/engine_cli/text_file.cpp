#include "worker/engine_cli/text_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace sluice::engine_cli {
namespace {

void add_text(const ModelText& model, const std::string& text, const TextFileOptions& options, bool special,
              std::vector<TextPiece>& pieces) {
  const Tokenizer& tokenizer = model.tokenizer();
  const std::vector<TokenId> ids = tokenizer.encode(text, {.add_bos = false, .parse_special = special});
  const bool bos = options.begin_with_bos && tokenizer.add_bos() && tokenizer.bos().has_value();
  const std::size_t each = options.window - (bos ? 1 : 0);
  for (std::size_t from = 0; from < ids.size(); from += each) {
    // A text shorter than a piece is no rest: it is all there is.
    if (options.drop_rest && from > 0 && ids.size() - from < each) break;
    TextPiece piece;
    piece.ids.reserve(options.window);
    if (bos) piece.ids.push_back(*tokenizer.bos());
    for (std::size_t i = from; i < std::min(ids.size(), from + each); ++i) piece.ids.push_back(ids[i]);
    pieces.push_back(std::move(piece));
  }
}

// An answer as a model generates it behind a prompt: plain text, then the token that ends it.
void append_answer(const Tokenizer& tokenizer, const std::string& answer, std::vector<TokenId>& ids) {
  const std::vector<TokenId> own = tokenizer.encode(answer);
  ids.insert(ids.end(), own.begin(), own.end());
  if (const auto end = tokenizer.eos() ? tokenizer.eos() : tokenizer.eot()) ids.push_back(*end);
}

// As the template renders it, cut after the token that ends the answer: what the template writes behind it
// nobody generates. Some templates render a conversation otherwise than what they ask for (one that opens
// thoughts in its prompt leaves them out of past answers): then the answer goes behind the prompt as it is.
Result<TextPiece> conversation(const ModelText& model, std::vector<ChatMessage> messages, bool answered) {
  TextPiece piece;
  if (!answered) {
    SLUICE_ASSIGN(piece.ids, model.prompt_ids(messages, true));
    return piece;
  }
  SLUICE_ASSIGN(piece.ids, model.prompt_ids(messages, false));
  const std::string answer = std::move(messages.back().content);
  messages.pop_back();
  SLUICE_ASSIGN(const std::vector<TokenId> prompt, model.prompt_ids(messages, true));
  if (prompt.size() >= piece.ids.size() || !std::equal(prompt.begin(), prompt.end(), piece.ids.begin())) {
    piece.ids = prompt;
    piece.answer_from = prompt.size();
    append_answer(model.tokenizer(), answer, piece.ids);
    return piece;
  }
  piece.answer_from = prompt.size();
  const auto end =
      std::find_if(piece.ids.rbegin(), piece.ids.rend() - static_cast<std::ptrdiff_t>(prompt.size()),
                   [&](TokenId id) { return model.tokenizer().is_end(id); });
  if (end != piece.ids.rend() - static_cast<std::ptrdiff_t>(prompt.size())) {
    piece.ids.erase(end.base(), piece.ids.end());
  }
  return piece;
}

Status add_line(const ModelText& model, const nlohmann::json& line, const TextFileOptions& options,
                std::vector<TextPiece>& pieces) {
  for (const char* key : {"prompt", "text"}) {
    if (!line.contains(key)) continue;
    add_text(model, line.at(key).get<std::string>(), options, true, pieces);
    return {};
  }
  std::vector<ChatMessage> messages = messages_of(line);
  if (line.contains("expected")) messages.push_back({"assistant", line.at("expected").get<std::string>()});
  const bool answered = !messages.empty() && messages.back().role == "assistant";
  SLUICE_ASSIGN(TextPiece piece, conversation(model, std::move(messages), answered));
  if (piece.ids.size() > options.window) {
    return fail(ErrorCode::kInvalid, "has " + std::to_string(piece.ids.size()) + " tokens, more than " +
                                         std::to_string(options.window));
  }
  pieces.push_back(std::move(piece));
  return {};
}

}  // namespace

Status for_each_json_line(const std::string& path, const std::function<Status(const nlohmann::json&)>& take) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::kNotFound, path + ": can't be opened");
  const auto taken = [&](const std::string& line) -> Status {
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return fail(ErrorCode::kInvalid, "is not a JSON object");
    try {
      return take(json);
    } catch (const nlohmann::json::exception& error) {
      return fail(ErrorCode::kInvalid, std::string("doesn't fit: ") + error.what());
    }
  };
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (const Status done = taken(line); !done) {
      return fail(ErrorCode::kInvalid,
                  path + ": line " + std::to_string(number) + " " + done.error().message);
    }
  }
  if (in.bad()) return fail(ErrorCode::kUnavailable, path + ": can't be read");
  return {};
}

std::vector<ChatMessage> messages_of(const nlohmann::json& line) {
  std::vector<ChatMessage> messages;
  for (const auto& message : line.at("messages")) {
    messages.push_back({message.at("role").get<std::string>(), message.at("content").get<std::string>()});
  }
  return messages;
}

Result<std::vector<TextPiece>> read_text_file(const ModelText& model, const std::string& path,
                                              const TextFileOptions& options) {
  std::vector<TextPiece> pieces;
  if (path.ends_with(".jsonl")) {
    SLUICE_TRY(for_each_json_line(
        path, [&](const nlohmann::json& line) { return add_line(model, line, options, pieces); }));
  } else {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(ErrorCode::kNotFound, path + ": can't be opened");
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (in.bad()) return fail(ErrorCode::kUnavailable, path + ": can't be read");
    add_text(model, text, options, options.parse_special, pieces);
  }
  if (pieces.empty()) return fail(ErrorCode::kInvalid, path + ": holds no text");
  return pieces;
}

}  // namespace sluice::engine_cli
