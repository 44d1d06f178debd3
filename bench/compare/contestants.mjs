// Each engine as something that measures a scenario: a fresh process each time, so that none inherits the other's caches.
// A scenario: {name, prefill, decode, sequences, counts: "prefill" | "decode" | "all"}. All figures are tokens a second
// over all sequences.
import {spawn} from "node:child_process";
import {access} from "node:fs/promises";
import {createServer} from "node:net";
import {dirname, join} from "node:path";
import {fileURLToPath} from "node:url";
import {lastJson, run} from "./run.mjs";

const here = dirname(fileURLToPath(import.meta.url));

export const scenarios = [
  {name: "prefill 512", key: "prefill", prefill: 512, decode: 1, sequences: 1, counts: "prefill"},
  {name: "decode, 1 sequence", key: "decode1", prefill: 16, decode: 32, sequences: 1, counts: "decode"},
  {name: "decode, 8 sequences", key: "decode8", prefill: 16, decode: 32, sequences: 8, counts: "decode"},
  {name: "decode, 32 sequences", key: "decode32", prefill: 16, decode: 24, sequences: 32, counts: "decode"},
  {name: "32 requests of 64 + 24", key: "requests", prefill: 64, decode: 24, sequences: 32, counts: "all"}
];

export function ours({bin, model, threads, wrap, kernels}) {
  const common = ["--model", model, "--threads", threads, "--json", ...(kernels ? ["--kernels", kernels] : [])];
  return {
    name: "sluice",
    async measure(scenario) {
      if (scenario.counts === "all") {
        const out = await run([...wrap, join(bin, "sluice-bench-requests"), ...common, "--requests", scenario.sequences,
          "--prompt", scenario.prefill, "--answer", scenario.decode].map(String));
        return lastJson(out).tokens_per_s;
      }
      const out = await run([...wrap, join(bin, "sluice-engine"), "bench", ...common, "--prefill", scenario.prefill,
        "--decode", scenario.decode, "--sequences", scenario.sequences, "--repeats", 1, "--without-ceilings"].map(String));
      return lastJson(out)[`${scenario.counts}_tokens_per_s`];
    }
  };
}

export function llamaPackage({model, threads, wrap, flash}) {
  return {
    name: "llama.cpp (package)",
    async measure(scenario) {
      const command = {do: "bench", model, threads, flash, sample: scenario.counts === "all", ...scenario};
      const out = await run([...wrap, process.execPath, join(here, "llama.mjs")], {input: JSON.stringify(command)});
      const result = lastJson(out);
      this.version = result.llama_cpp;
      return result[scenario.counts === "all" ? "tokens_per_s" : `${scenario.counts}_tokens_per_s`];
    }
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const {port} = server.address();
      server.close(() => resolve(port));
    });
  });
}

// All requests at once to a server of its own; what it says about its start goes nowhere.
async function throughServer({server, model, threads, wrap, scenario}) {
  const port = await freePort();
  const {sequences, prefill, decode} = scenario;
  const child = spawn(wrap[0] ?? server, [...wrap.slice(1), ...(wrap.length > 0 ? [server] : []), "-m", model, "-t", threads, "-np", sequences,
    "-c", sequences * (prefill + decode + 32), "--host", "127.0.0.1", "--port", port].map(String), {stdio: "ignore", detached: true});
  const ended = new Promise((resolve) => child.on("close", resolve));
  const url = `http://127.0.0.1:${port}`;
  const ask = async (first, tokens) => {
    // Ids of ordinary tokens, the same in number for every request and different in kind.
    const prompt = Array.from({length: prefill}, (_, i) => 1000 + (first * prefill + i) * 7 % 20000);
    const response = await fetch(`${url}/completion`, {method: "POST", headers: {"content-type": "application/json"},
      body: JSON.stringify({prompt, n_predict: tokens, temperature: 0, ignore_eos: true, cache_prompt: false})});
    if (!response.ok) throw new Error(`llama-server: ${response.status} ${await response.text()}`);
    return (await response.json()).tokens_predicted;
  };
  try {
    const until = Date.now() + 120_000;
    while (!(await fetch(`${url}/health`).then((r) => r.ok, () => false))) {
      if (Date.now() > until || child.exitCode !== null) throw new Error("llama-server doesn't start");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await ask(999, 2);
    const began = process.hrtime.bigint();
    const answered = await Promise.all(Array.from({length: sequences}, (_, i) => ask(i, decode)));
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    return (sequences * prefill + answered.reduce((a, b) => a + b, 0)) / seconds;
  } finally {
    if (child.exitCode === null) process.kill(-child.pid, "SIGTERM");
    await ended;
  }
}

// Null where the folder holds none of the programs.
export async function llamaPrograms({folder, model, threads, wrap}) {
  const found = {};
  for (const name of ["llama-bench", "llama-batched-bench", "llama-server"]) {
    const path = join(folder, name);
    if (await access(path).then(() => true, () => false)) found[name] = path;
  }
  if (Object.keys(found).length === 0) return null;
  const words = (list) => [...wrap, ...list].map(String);
  return {
    name: "llama.cpp (programs)",
    // Undefined: the program that could measure this isn't there.
    async measure(scenario) {
      const {prefill, decode, sequences} = scenario;
      if (scenario.counts === "all") {
        if (!found["llama-server"]) return undefined;
        return throughServer({server: found["llama-server"], model, threads, wrap, scenario});
      }
      if (sequences === 1) {
        if (!found["llama-bench"]) return undefined;
        const p = scenario.counts === "prefill" ? prefill : 0, n = scenario.counts === "decode" ? decode : 0;
        const out = await run(words([found["llama-bench"], "-m", model, "-t", threads, "-p", p, "-n", n, "-r", 1, "-o", "json"]));
        return JSON.parse(out.slice(out.indexOf("[")))[0].avg_ts;
      }
      if (!found["llama-batched-bench"]) return undefined;
      const out = await run(words([found["llama-batched-bench"], "-m", model, "-t", threads, "-c", sequences * (prefill + decode + 8),
        "-npp", prefill, "-ntg", decode, "-npl", sequences, "--output-format", "jsonl"]));
      return lastJson(out).speed_tg;
    }
  };
}
