// info, tokenize, logits, generate.
#include <algorithm>
#include <istream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>

#include "common/text/unicode.h"
#include "worker/engine/native_engine.h"
#include "worker/engine_cli/commands.h"

namespace sluice::engine_cli {
namespace {

using Json = nlohmann::ordered_json;

Result<std::string> read_all(std::istream& in) {
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) return fail(ErrorCode::kUnavailable, "standard input can't be read");
  return text;
}

// Text that may hold bytes of any kind, as JSON.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Error about_file(const std::string& path, const Error& error) {
  return {error.code, path + ": " + error.message};
}

Json describe(const GgufFile& file) {
  Json json;
  const auto text = [&](const char* name, const char* key) {
    const auto value = file.string(key);
    json[name] = value ? Json(std::string(*value)) : Json(nullptr);
  };
  json["path"] = file.path();
  json["bytes"] = file.file_bytes();
  json["gguf_version"] = file.version();
  text("name", "general.name");
  text("architecture", "general.architecture");
  const std::string prefix = std::string(file.string_or("general.architecture", "").value_or("")) + ".";
  const auto number = [&](const char* name, const std::string& key) {
    const auto value = file.u64(prefix + key);
    json[name] = value ? Json(*value) : Json(nullptr);
  };
  number("context_tokens", "context_length");
  number("layers", "block_count");
  number("width", "embedding_length");
  number("feed_forward", "feed_forward_length");
  number("heads", "attention.head_count");
  number("kv_heads", "attention.head_count_kv");
  std::uint64_t parameters = 0;
  std::map<std::string, std::uint64_t> bytes_of;
  for (const GgufTensor& tensor : file.tensors()) {
    parameters += tensor.values();
    bytes_of[std::string(ggml_type_name(tensor.type))] += tensor.bytes;
  }
  json["parameters"] = parameters;
  json["tensors"] = file.tensors().size();
  json["tensor_bytes"] = bytes_of;
  text("tokenizer", "tokenizer.ggml.model");
  text("pre_tokenizer", "tokenizer.ggml.pre");
  const GgufEntry* tokens = file.find("tokenizer.ggml.tokens");
  json["vocabulary_tokens"] = tokens != nullptr ? tokens->count : 0;
  json["chat_template"] = file.has("tokenizer.chat_template");
  return json;
}

void print_lines(const Json& json, std::ostream& out) {
  for (const auto& [key, value] : json.items()) {
    out << key << ": " << (value.is_string() ? safe_text(value.get<std::string>()) : dump(value)) << "\n";
  }
}

}  // namespace

int report(const Error& error, const Io& io) {
  io.err << "sluice-engine: " << safe_text(error.message) << "\n";
  return 1;
}

int info(const CommonOptions& options, const Io& io) {
  const auto file = GgufFile::open(options.model.path);
  if (!file) return report(file.error(), io);
  Json json = describe(*file);
  const auto model = LoadedModel::load(options.model);
  json["supported"] = model.has_value();
  if (model) {
    json["weight_type"] = (*model)->weight_type();
    json["kernels"] = std::string((*model)->context().kernels.name);
    json["threads"] = (*model)->context().pool.threads();
  } else {
    json["unsupported_because"] = model.error().message;
  }
  if (options.json) {
    // In ASCII: JSON leaves some control characters as they are.
    io.out << json.dump(-1, ' ', true, Json::error_handler_t::replace) << "\n";
  } else {
    print_lines(json, io.out);
  }
  return 0;
}

int tokenize(const CommonOptions& options, const TokenizeOptions& tokenize, const Io& io) {
  const auto file = GgufFile::open(options.model.path);
  if (!file) return report(file.error(), io);
  const auto tokenizer = Tokenizer::load(*file);
  if (!tokenizer) return report(about_file(options.model.path, tokenizer.error()), io);
  const auto text = read_all(io.in);
  if (!text) return report(text.error(), io);
  const auto ids = tokenizer->encode(*text, {.add_bos = tokenize.bos, .parse_special = tokenize.special});
  io.out << dump(Json(ids)) << "\n";
  return 0;
}

int logits(const CommonOptions& options, const LogitsOptions& logits, const Io& io) {
  const auto loaded = LoadedModel::load(options.model);
  if (!loaded) return report(loaded.error(), io);
  LoadedModel& model = **loaded;
  const auto text = read_all(io.in);
  if (!text) return report(text.error(), io);
  const auto ids = model.tokenizer().encode(*text, {.add_bos = logits.bos, .parse_special = true});
  const model::ModelShape& shape = model.model().shape();
  if (ids.empty()) return report({ErrorCode::kInvalid, "the text has no tokens"}, io);
  if (ids.size() > shape.context_tokens) {
    return report({ErrorCode::kInvalid, "the text has " + std::to_string(ids.size()) +
                                            " tokens; the model's context holds " +
                                            std::to_string(shape.context_tokens)},
                  io);
  }
  const std::size_t room = ops::KvCache::pages_for(ids.size()) * ops::kPageTokens;
  ops::KvShape kv = model.model().kv_shape();
  kv.type = ops::KvType::kF32;  // Exactness is what one asks this command for.
  const auto cache = ops::KvCache::make(kv, room);
  if (!cache) return report(cache.error(), io);
  const auto pages = (*cache)->reserve(ids.size());
  std::vector<model::StepToken> tokens;
  std::span<float> row;
  constexpr std::size_t kChunk = 256;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    tokens.push_back({ids[i], i, &*pages, i + 1 == ids.size()});
    if (tokens.size() == kChunk || i + 1 == ids.size()) {
      row = model.model().forward(**cache, tokens);
      tokens.clear();
    }
  }
  std::vector<std::int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const std::size_t top = std::min(logits.top, order.size());
  const auto larger = [&](std::int32_t a, std::int32_t b) {
    const float x = row[static_cast<std::size_t>(a)];
    const float y = row[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(), larger);
  order.resize(top);
  if (options.json) {
    Json best = Json::array();
    for (const std::int32_t id : order) best.push_back({id, row[static_cast<std::size_t>(id)]});
    io.out << dump(Json{{"ids", ids}, {"top", best}}) << "\n";
    return 0;
  }
  for (const std::int32_t id : order) {
    const Json token = std::string(model.tokenizer().token_bytes(id));
    io.out << id << "\t" << row[static_cast<std::size_t>(id)] << "\t" << dump(token) << "\n";
  }
  return 0;
}

int generate(const CommonOptions& options, const GenerateOptions& generate, Rng& rng, const Io& io) {
  NativeEngineConfig config;
  config.model = options.model;
  config.sequences_max = 1;
  const auto opened = NativeEngine::open(config, rng);
  if (!opened) return report(opened.error(), io);
  NativeEngine& engine = **opened;
  const auto text = read_all(io.in);
  if (!text) return report(text.error(), io);
  PromptInput input;
  if (generate.raw) {
    input.raw = *text;
  } else {
    if (!generate.system.empty()) input.messages.push_back({"system", generate.system});
    input.messages.push_back({"user", *text});
  }
  auto prompt = engine.prepare(input);
  if (!prompt) return report(prompt.error(), io);
  GenerationRequest request;
  request.key = "generate";
  request.prompt = std::move(*prompt);
  request.params = generate.params;
  if (const Status added = engine.add(std::move(request)); !added) return report(added.error(), io);
  bool thinking = false;
  while (true) {
    for (const StepEvent& event : engine.step(Duration::zero())) {
      // Thoughts are shown, but are no part of the answer: it begins on a line of its own.
      if (!options.json && !event.reasoning_delta.empty()) {
        io.err << event.reasoning_delta << std::flush;
        thinking = true;
      }
      if (thinking && (event.done || !event.text_delta.empty())) {
        io.err << "\n" << std::flush;
        thinking = false;
      }
      if (!options.json) io.out << event.text_delta << std::flush;
      if (!event.done) continue;
      if (!*event.done) return report(event.done->error(), io);
      const Generation& generation = **event.done;
      if (options.json) {
        Json json{{"ids", generation.ids},
                  {"text", generation.text},
                  {"finish_reason", finish_reason_name(generation.finish_reason)},
                  {"usage",
                   {{"prompt_tokens", generation.usage.prompt_tokens},
                    {"completion_tokens", generation.usage.completion_tokens},
                    {"total_tokens", generation.usage.total()}}}};
        if (!generation.reasoning.empty()) json["reasoning_content"] = generation.reasoning;
        io.out << dump(json);
      }
      io.out << "\n";
      return 0;
    }
  }
}

}  // namespace sluice::engine_cli
