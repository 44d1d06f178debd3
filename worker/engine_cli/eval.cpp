#include <algorithm>
#include <cstdio>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <unordered_map>

#include "worker/engine/native_engine.h"
#include "worker/engine_cli/commands.h"
#include "worker/engine_cli/text_file.h"

namespace sluice::engine_cli {
namespace {

using Json = nlohmann::ordered_json;

struct Question {
  std::string id;
  std::string task;
  PromptInput prompt;
  std::vector<std::string> accepted;
  std::string answer;
};

Result<std::vector<Question>> read_questions(const std::string& path) {
  std::vector<Question> questions;
  SLUICE_TRY(for_each_json_line(path, [&](const nlohmann::json& line) -> Status {
    Question question;
    question.id = line.value("id", "");
    question.task = line.at("task").get<std::string>();
    for (ChatMessage& message : messages_of(line)) {
      question.prompt.messages.push_back({std::move(message.role), std::move(message.content)});
    }
    question.accepted.push_back(line.at("expected").get<std::string>());
    if (line.contains("accepted")) {
      for (const auto& other : line.at("accepted")) question.accepted.push_back(other.get<std::string>());
    }
    if (question.prompt.messages.empty()) return fail(ErrorCode::kInvalid, "has no messages");
    questions.push_back(std::move(question));
    return {};
  }));
  if (questions.empty()) return fail(ErrorCode::kInvalid, path + ": holds no prompts");
  return questions;
}

Status answer_all(NativeEngine& engine, std::vector<Question>& questions, int max_tokens, const Io& io) {
  std::deque<GenerationRequest> waiting;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    GenerationRequest request;
    request.key = std::to_string(i);
    auto prompt = engine.prepare(questions[i].prompt);
    if (!prompt) return fail(prompt.error().code, questions[i].id + ": " + prompt.error().message);
    request.prompt = std::move(*prompt);
    request.params.max_tokens = max_tokens;
    waiting.push_back(std::move(request));
  }
  std::size_t done = 0;
  while (done < questions.size()) {
    while (!waiting.empty()) {
      const Status added = engine.add(std::move(waiting.front()));
      if (!added && added.error().code == ErrorCode::kExhausted && engine.active() > 0) break;
      if (!added) return added;
      waiting.pop_front();
    }
    for (const StepEvent& event : engine.step(Duration::zero())) {
      if (!event.done) continue;
      if (!*event.done) return fail(event.done->error());
      questions[std::stoul(event.key)].answer = (*event.done)->text;
      ++done;
    }
    if (io.err_is_terminal) io.err << "\r" << done << " of " << questions.size() << std::flush;
  }
  if (io.err_is_terminal) io.err << "\r\n";
  return {};
}

struct Score {
  std::size_t right = 0;
  std::size_t n = 0;
  double accuracy() const { return n == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(n); }
  Json json() const { return {{"right", right}, {"n", n}, {"accuracy", accuracy()}}; }
};

std::string score_line(const std::string& name, const Score& score) {
  char line[160];
  std::snprintf(line, sizeof line, "%-20s %5zu of %5zu  %5.1f %%\n", name.c_str(), score.right, score.n,
                100.0 * score.accuracy());
  return line;
}

}  // namespace

int eval(const CommonOptions& options, const EvalOptions& eval, Rng& rng, const Io& io) {
  auto questions = read_questions(eval.path);
  if (!questions) return report(questions.error(), io);
  NativeEngineConfig config;
  config.model = options.model;
  config.sequences_max = eval.sequences;
  const auto engine = NativeEngine::open(config, rng);
  if (!engine) return report(engine.error(), io);
  if (const Status done = answer_all(**engine, *questions, eval.max_tokens, io); !done)
    return report(done.error(), io);

  std::vector<std::string> order;  // Tasks as they come in the file.
  std::unordered_map<std::string, Score> tasks;
  Score total;
  Json wrong = Json::array();
  for (const Question& question : *questions) {
    if (!tasks.contains(question.task)) order.push_back(question.task);
    const bool right = std::find(question.accepted.begin(), question.accepted.end(), question.answer) !=
                       question.accepted.end();
    for (Score* score : {&tasks[question.task], &total}) {
      score->n += 1;
      score->right += right ? 1 : 0;
    }
    if (!right)
      wrong.push_back(
          {{"id", question.id}, {"expected", question.accepted.front()}, {"answer", question.answer}});
  }
  if (options.json) {
    Json json;
    for (const std::string& task : order) json["tasks"][task] = tasks[task].json();
    json["all"] = total.json();
    if (eval.wrong) json["wrong"] = wrong;
    io.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    return 0;
  }
  for (const std::string& task : order) io.out << score_line(task, tasks[task]);
  io.out << score_line("all", total);
  if (eval.wrong) {
    for (const Json& one : wrong) io.out << one.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
  }
  return 0;
}

}  // namespace sluice::engine_cli
