// sluice-engine: looks at a model and runs it without any service.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/base/failpoint.h"
#include "worker/engine_cli/commands.h"
#include "worker/kernels/formats/format.h"

namespace {

using namespace sluice;
using namespace sluice::engine_cli;

void add_common(CLI::App& command, CommonOptions& common) {
  command.add_option("-m,--model", common.model.path, "The GGUF file")->required();
  command
      .add_option("-t,--threads", common.model.threads, "Threads that compute; 0: one for each usable CPU")
      ->check(CLI::Range(0, 1024));
  command.add_option("--kernels", common.model.kernels,
                     "By name; those that this CPU has, the fastest first: " + usable_kernels());
  command.add_flag("--json", common.json, "Print JSON");
}

void add_sampling(CLI::App& command, SamplingParams& params, std::optional<std::uint64_t>& seed) {
  command.add_option("-n,--max-tokens", params.max_tokens, "Tokens to generate at most")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--temperature", params.temperature, "0: greedy");
  command.add_option("--top-k", params.top_k, "Keep the k likeliest tokens; 0: all");
  command.add_option("--top-p", params.top_p, "Keep the likeliest tokens that reach this probability");
  command.add_option("--min-p", params.min_p,
                     "Keep tokens at least this fraction as likely as the likeliest");
  command.add_option("--seed", seed, "Same seed, same answer");
  command.add_option("--stop", params.stop, "End before this text (may be given several times)");
  command.add_option("--repetition-penalty", params.repetition_penalty, "1: off");
  command.add_option("--frequency-penalty", params.frequency_penalty, "0: off");
  command.add_option("--presence-penalty", params.presence_penalty, "0: off");
}

int run(int argc, char** argv) {
  CLI::App app("Looks at a GGUF model and runs it. Text is read from standard input, byte for byte.",
               "sluice-engine");
  app.set_version_flag("--version", SLUICE_VERSION);
  app.require_subcommand(1);
  SystemRng rng;
  SystemClock clock;
  const Io io{std::cin, std::cout, std::cerr, isatty(STDERR_FILENO) != 0};
  CommonOptions common;
  int code = 0;

  CLI::App* info_command = app.add_subcommand("info", "What the file is, and whether it can be run");
  add_common(*info_command, common);
  info_command->callback([&] { code = info(common, io); });

  TokenizeOptions tokenize_options;
  CLI::App* tokenize_command = app.add_subcommand("tokenize", "Print the token ids of a text");
  add_common(*tokenize_command, common);
  tokenize_command->add_flag("--bos", tokenize_options.bos, "Begin with the token that begins a text");
  tokenize_command->add_flag("--special", tokenize_options.special, "Recognise special tokens in the text");
  tokenize_command->callback([&] { code = tokenize(common, tokenize_options, io); });

  LogitsOptions logits_options;
  CLI::App* logits_command = app.add_subcommand("logits", "Print the likeliest next tokens of a text");
  add_common(*logits_command, common);
  logits_command->add_option("--top", logits_options.top, "How many")->check(CLI::PositiveNumber);
  logits_command->add_flag("--bos", logits_options.bos, "Begin with the token that begins a text");
  logits_command->callback([&] { code = logits(common, logits_options, io); });

  GenerateOptions generate_options;
  CLI::App* generate_command = app.add_subcommand("generate", "Answer a text");
  add_common(*generate_command, common);
  generate_command->add_flag("--raw", generate_options.raw, "Continue the text as it is: no chat template");
  generate_command->add_option("--system", generate_options.system, "A system message before the text");
  add_sampling(*generate_command, generate_options.params, generate_options.params.seed);
  generate_command->callback([&] { code = generate(common, generate_options, rng, io); });

  QuantizeOptions quantize_options;
  bool quantize_json = false;
  CLI::App* quantize_command = app.add_subcommand("quantize", "Write a smaller copy of a model");
  quantize_command->add_option("IN", quantize_options.from, "The file to read")->required();
  quantize_command->add_option("OUT", quantize_options.to, "The file to write")->required();
  quantize_command->add_option("--type", quantize_options.type, kernels::format_names())
      ->capture_default_str();
  quantize_command->add_flag("--pure", quantize_options.pure,
                             "Every matrix this type; else types below Q6_K take more bits where it helps");
  quantize_command->add_flag("--requantize", quantize_options.requantize,
                             "Take a file that is quantised already, which loses twice");
  quantize_command->add_option("--calibrate", quantize_options.calibrate,
                               "Text, or prompts as JSON lines (.jsonl), like those the model will serve");
  quantize_command
      ->add_option("--calibrate-tokens", quantize_options.calibrate_tokens, "Tokens of it to use at most")
      ->check(CLI::PositiveNumber);
  quantize_command->add_option("-t,--threads", quantize_options.threads, "0: one for each usable CPU")
      ->check(CLI::Range(0, 1024));
  quantize_command->add_flag("--json", quantize_json, "Print JSON");
  quantize_command->callback([&] { code = quantize(quantize_options, quantize_json, io); });

  EvalOptions eval_options;
  CLI::App* eval_command = app.add_subcommand("eval", "Accuracy over a file of prompts and expected answers");
  add_common(*eval_command, common);
  eval_command->add_option("FILE", eval_options.path, "JSON lines: task, messages, expected, accepted")
      ->required();
  eval_command->add_option("-n,--max-tokens", eval_options.max_tokens, "Tokens of an answer at most")
      ->check(CLI::NonNegativeNumber);
  eval_command->add_option("--sequences", eval_options.sequences, "Prompts computed together")
      ->check(CLI::Range(1, 1024));
  eval_command->add_flag("--wrong", eval_options.wrong, "Print wrong answers, too");
  eval_command->callback([&] { code = eval(common, eval_options, rng, io); });

  PerplexityOptions perplexity_options;
  CLI::App* perplexity_command = app.add_subcommand("perplexity", "How well the model predicts a text");
  add_common(*perplexity_command, common);
  perplexity_command
      ->add_option("-f,--file", perplexity_options.path,
                   "A text, or conversations as JSON lines (.jsonl): their answers are scored")
      ->required();
  perplexity_command->add_option("--context", perplexity_options.context,
                                 "Tokens of a window, of which the second half is scored; default 512");
  perplexity_command->add_flag("--all", perplexity_options.all, "Score first halves and prompts, too");
  perplexity_command->add_flag("--special", perplexity_options.special,
                               "Recognise special tokens in the text");
  perplexity_command->add_option("--baseline", perplexity_options.baseline,
                                 "Another file of the model, to compare probabilities with");
  perplexity_command->callback([&] { code = perplexity(common, perplexity_options, io); });

  BenchOptions bench_options;
  CLI::App* bench_command = app.add_subcommand("bench", "Tokens a second, for prompts and for answers");
  add_common(*bench_command, common);
  bench_command->add_option("--prefill", bench_options.prefill, "Tokens of each prompt")
      ->check(CLI::PositiveNumber);
  bench_command->add_option("--decode", bench_options.decode, "Tokens of each answer")
      ->check(CLI::PositiveNumber);
  bench_command
      ->add_option("--sequences", bench_options.sequences, "Sequences computed together; several: a sweep")
      ->check(CLI::Range(1, 1024));
  bench_command->add_option("--repeats", bench_options.repeats, "Runs, of which the median counts")
      ->check(CLI::Range(1, 1000));
  bool without_ceilings = false;
  bench_command->add_flag("--without-ceilings", without_ceilings,
                          "Don't measure the machine, which takes some seconds");
  bench_command->callback([&] {
    bench_options.ceilings = !without_ceilings;
    code = bench(common, bench_options, clock, io);
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "sluice-engine: standard output can't be written\n";
    return 1;
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto status = failpoints_init(); !status)
    return report(status.error(), {std::cin, std::cout, std::cerr});
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "sluice-engine: " << error.what() << "\n";
    return 1;
  }
}
