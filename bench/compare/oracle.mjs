// Ours against llama.cpp on one file: the same ids for the same text, nearly the same logits, the same greedy answer.
// Exit code 1: ids differ, or answers part where the reference has no near tie.
import {readFile} from "node:fs/promises";
import {dirname, join} from "node:path";
import {fileURLToPath} from "node:url";
import {lastJson, parseArguments, run} from "./run.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const options = parseArguments(process.argv.slice(2), {
  model: "", bin: "build/test/bin", texts: join(here, "texts.json"), threads: 2, answer: 16, top: 20, "near-tie": 0.5,
  "tokens-only": false, limit: 0, json: false
});
if (!options.model) {
  console.error("usage: node oracle.mjs --model FILE [--texts FILE.json] [--tokens-only] … (README.md)");
  process.exit(2);
}

const engine = (command, extra, input) => run([join(options.bin, "sluice-engine"), command, "--model", options.model, "--json", ...extra].map(String), {input});
const llama = async (command) => lastJson(await run([process.execPath, join(here, "llama.mjs")], {
  input: JSON.stringify({model: options.model, threads: options.threads, ...command})
}));
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

let texts = JSON.parse(await readFile(options.texts, "utf8"));
if (options.limit > 0) texts = texts.slice(0, options.limit);
const report = {model: options.model, texts: texts.length, ids_differ: [], logits: []};
const ids = [];
for (const text of texts) ids.push(JSON.parse(await engine("tokenize", [], text)));
const theirs = await llama({do: "tokenize", texts});
for (let i = 0; i < texts.length; i++) {
  if (!same(ids[i], theirs.ids[i])) report.ids_differ.push({text: texts[i], ours: ids[i], llama_cpp: theirs.ids[i]});
}

let apart = 0;
if (!options["tokens-only"]) {
  const threads = ["--threads", options.threads];
  // As `generate --raw` takes them: special tokens recognised, and a begin token where the file wants one.
  const asked = [];
  for (let i = 0; i < texts.length; i++) {
    if (ids[i].length === 0 || ids[i].length > 1000) continue;
    const answer = lastJson(await engine("generate", [...threads, "--raw", "--max-tokens", options.answer, "--temperature", 0], texts[i]));
    const bare = lastJson(await engine("logits", [...threads, "--top", options.top * 4], texts[i]));
    const bos = answer.usage.prompt_tokens > bare.ids.length;
    const mine = bos ? lastJson(await engine("logits", [...threads, "--top", options.top * 4, "--bos"], texts[i])) : bare;
    asked.push({text: texts[i], answer: answer.ids, ...mine});
  }
  const reference = (await llama({do: "oracle", prompts: asked.map((one) => one.ids), answer: options.answer, top: options.top})).results;
  for (let i = 0; i < asked.length; i++) {
    const {top, answer} = asked[i];
    const mine = new Map(top);
    const shared = reference[i].top.filter(([id]) => mine.has(id));
    const difference = Math.max(0, ...shared.map(([id, logit]) => Math.abs(logit - mine.get(id))));
    const {greedy, gaps} = reference[i];
    let equal = 0;
    while (equal < greedy.length && equal < answer.length && greedy[equal] === answer[equal]) equal++;
    const parted = equal < Math.min(greedy.length, answer.length);
    const wrong = parted && gaps[equal] > options["near-tie"];
    if (wrong) apart++;
    report.logits.push({
      text: asked[i].text.slice(0, 40), tokens: asked[i].ids.length, top1_same: top[0][0] === reference[i].top[0][0],
      in_both_tops: shared.length, largest_difference: difference, greedy_equal: equal, greedy: greedy.length,
      gap_where_parted: parted ? gaps[equal] : undefined
    });
  }
}

if (options.json) {
  console.log(JSON.stringify(report));
} else {
  console.log(`${options.model}: ids of ${texts.length - report.ids_differ.length} of ${texts.length} texts are the same`);
  for (const {text, ours, llama_cpp} of report.ids_differ) console.log(`  ${JSON.stringify(text)}\n    ours  ${ours}\n    llama ${llama_cpp}`);
  if (report.logits.length > 0) {
    const count = (test) => report.logits.filter(test).length;
    const all = report.logits.length;
    console.log(`  first choice the same: ${count((r) => r.top1_same)} of ${all}; largest difference of a top logit: ${Math.max(...report.logits.map((r) => r.largest_difference)).toFixed(4)}`);
    console.log(`  greedy answers the same: ${count((r) => r.gap_where_parted === undefined)} of ${all}` +
      report.logits.filter((r) => r.gap_where_parted !== undefined).map((r) => `; one parts after ${r.greedy_equal} tokens, where the reference's first two are ${r.gap_where_parted.toFixed(3)} apart`).join(""));
  }
}
process.exit(report.ids_differ.length > 0 || apart > 0 ? 1 : 0);
