// Child processes with a result, and what the machine is.
import {spawn} from "node:child_process";
import {cpus, loadavg, totalmem} from "node:os";
import {readFile} from "node:fs/promises";

// Runs a command to its end. Resolves to its standard output; rejects with the end of standard error.
export function run(command, {input = "", env = {}, timeoutS = 600} = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), {env: {...process.env, ...env}, stdio: ["pipe", "pipe", "pipe"]});
    const out = [], err = [];
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutS * 1000);
    child.stdout.on("data", (data) => out.push(data));
    child.stderr.on("data", (data) => err.push(data));
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      if (code === 0) return resolve(Buffer.concat(out).toString());
      const end = Buffer.concat(err).toString().trim().split("\n").slice(-5).join("\n");
      reject(new Error(`${command.join(" ")}: exit code ${code}\n${end}`));
    });
    child.stdin.on("error", () => {});  // A child that ends without reading isn't an error by itself.
    child.stdin.end(input);
  });
}

// The last line of output that is a JSON object.
export function lastJson(output) {
  const line = output.trim().split("\n").reverse().find((text) => text.startsWith("{"));
  if (!line) throw new Error(`no JSON in the output: ${output.slice(0, 200)}`);
  return JSON.parse(line);
}

// The part of all CPUs' time that was not idle over a second, and steal by other guests of the host.
export async function busyPart() {
  const read = async () => {
    const line = (await readFile("/proc/stat", "utf8")).split("\n")[0];
    const [user, nice, system, idle, wait, irq, soft, steal] = line.trim().split(/\s+/).slice(1).map(Number);
    return {total: user + nice + system + idle + wait + irq + soft + steal, idle: idle + wait, steal};
  };
  const before = await read();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = await read();
  const total = Math.max(1, after.total - before.total);
  return {busy: 1 - (after.idle - before.idle) / total, steal: (after.steal - before.steal) / total};
}

export async function machine() {
  const flags = (await readFile("/proc/cpuinfo", "utf8")).match(/^flags\s*:(.*)$/m)?.[1].split(" ") ?? [];
  const telling = ["avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8"];
  const {busy, steal} = await busyPart();
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cpus: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    features: telling.filter((name) => flags.includes(name)),
    load_average: loadavg().map((x) => Math.round(x * 100) / 100),
    busy_before: Math.round(busy * 1000) / 1000,
    steal_before: Math.round(steal * 1000) / 1000,
    quiet: busy < 0.05 && steal < 0.02
  };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// --name value, --flag; what is left over is refused.
export function parseArguments(argv, known) {
  try {
    return parse(argv, known);
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

function parse(argv, known) {
  const values = {...known};
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i].replace(/^--/, "");
    if (!argv[i].startsWith("--") || !(name in known)) {
      throw new Error(`unknown argument ${argv[i]} (known: --${Object.keys(known).join(" --")})`);
    }
    if (typeof known[name] === "boolean") values[name] = true;
    else if (++i === argv.length) throw new Error(`${argv[i - 1]} needs a value`);
    else values[name] = typeof known[name] === "number" ? Number(argv[i]) : argv[i];
    if (Number.isNaN(values[name])) throw new Error(`--${name} needs a number`);
  }
  return values;
}
