// Our engine and llama.cpp by turns on the same file, the same work and the same number of threads. See README.md.
import {stat, writeFile} from "node:fs/promises";
import {availableParallelism} from "node:os";
import {llamaPackage, llamaPrograms, ours, scenarios} from "./contestants.mjs";
import {machine, median, parseArguments} from "./run.mjs";

const options = parseArguments(process.argv.slice(2), {
  model: "", bin: "build/test/bin", threads: availableParallelism(), rounds: 5, scenarios: "", kernels: "", flash: "auto",
  wrap: "", out: "", label: "", json: false, "without-llama": false
});
const chosen = options.scenarios ? options.scenarios.split(",") : scenarios.map(({key}) => key);
const unknown = chosen.filter((key) => !scenarios.some((scenario) => scenario.key === key));
if (!options.model || unknown.length > 0) {
  console.error(`usage: node compare.mjs --model FILE [--scenarios ${scenarios.map(({key}) => key).join(",")}] … (README.md)`);
  process.exit(2);
}
const say = (text) => { if (!options.json) console.log(text); };

const wrap = options.wrap.split(" ").filter(Boolean);
const setting = {...options, wrap, flash: {auto: "auto", on: true, off: false}[options.flash] ?? "auto"};
const contestants = [ours(setting)];
if (!options["without-llama"]) contestants.push(llamaPackage(setting));
if (process.env.LLAMA_BIN && !options["without-llama"]) {
  const programs = await llamaPrograms({...setting, folder: process.env.LLAMA_BIN});
  if (programs) contestants.push(programs);
  else say(`LLAMA_BIN=${process.env.LLAMA_BIN} holds none of llama-bench, llama-batched-bench and llama-server.`);
}

const host = await machine();
say(`${host.cpu}, ${host.cpus} CPUs (${host.features.join(" ")}), ${host.memory_gib} GiB; ${options.threads} threads, ${options.rounds} rounds`);
if (!host.quiet) {
  say(`THE MACHINE IS NOT QUIET: ${Math.round(host.busy_before * 100)} % of it was busy and ${Math.round(host.steal_before * 100)} % stolen before the first run. The figures are worth little.`);
}

const number = (x) => x === undefined ? "–" : x >= 100 ? x.toFixed(0) : x.toFixed(1);
const results = [];
for (const scenario of scenarios.filter(({key}) => chosen.includes(key))) {
  const runs = contestants.map(() => []);
  for (let round = 0; round < options.rounds; round++) {
    // Who begins changes from round to round: what heats up or slows down hits all alike.
    const order = contestants.map((_, i) => (i + round) % contestants.length);
    for (const i of order) {
      const rate = await contestants[i].measure(scenario);
      if (rate !== undefined) runs[i].push(rate);
    }
  }
  const medians = runs.map((values) => values.length > 0 ? median(values) : undefined);
  results.push({
    scenario: scenario.key, name: scenario.name, tokens_per_s: Object.fromEntries(contestants.map(({name}, i) => [name, medians[i]])),
    ratio: Object.fromEntries(contestants.slice(1).map(({name}, i) => [name, medians[i + 1] ? medians[0] / medians[i + 1] : undefined])),
    runs: Object.fromEntries(contestants.map(({name}, i) => [name, runs[i]]))
  });
  say(`${scenario.name.padEnd(24)}` + contestants.map(({name}, i) => {
    const spread = runs[i].length > 0 ? ` (${number(Math.min(...runs[i]))}–${number(Math.max(...runs[i]))})` : "";
    const ratio = i > 0 && medians[i] ? `, ours ×${(medians[0] / medians[i]).toFixed(2)}` : "";
    return `${name} ${number(medians[i])}${spread}${ratio}`;
  }).join(" | "));
}

const after = await machine();
const report = {
  at: new Date().toISOString(), label: options.label || undefined, model: options.model, model_bytes: (await stat(options.model)).size,
  threads: options.threads, rounds: options.rounds, llama_cpp: contestants.find(({version}) => version)?.version,
  machine: host, load_average_after: after.load_average, results
};
if (options.out) await writeFile(options.out, JSON.stringify(report) + "\n", {flag: "a"});
if (options.json) {
  console.log(JSON.stringify(report));
} else {
  say("\nTokens a second over all sequences, medians (least–most).\n");
  say(`| | ${contestants.map(({name}) => name).join(" | ")} | ratio |`);
  say(`|---|${contestants.map(() => "---").join("|")}|---|`);
  for (const {name, tokens_per_s: rates, ratio} of results) {
    say(`| ${name} | ${contestants.map((c) => number(rates[c.name])).join(" | ")} | ${Object.values(ratio).map((r) => r ? r.toFixed(2) : "–").join(" / ") || "–"} |`);
  }
}
