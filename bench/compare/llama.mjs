// llama.cpp through the npm package, as a process of its own: one JSON command on standard input, one JSON line out.
// Batches go to the package's lowest level, so that what is measured is llama.cpp and not JavaScript around it.
import {readFileSync} from "node:fs";

const command = JSON.parse(readFileSync(0, "utf8"));
const {getLlama, LlamaLogLevel} = await import("node-llama-cpp");
const llama = await getLlama({
  gpu: false, build: "never", skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error, maxThreads: 0
});

const seconds = (since) => Number(process.hrtime.bigint() - since) / 1e9;
// Any tokens will do: the work is the same for all. Control tokens stand last in most vocabularies.
const token = (number, vocabulary) => (number * 7919 + 13) % Math.floor(vocabulary * 0.9);

async function open({contextTokens, sequences = 1, batch = 512}) {
  const model = await llama.loadModel({modelPath: command.model, gpuLayers: 0, useMmap: true});
  const context = await model.createContext({
    contextSize: contextTokens, sequences, batchSize: batch, threads: command.threads,
    flashAttention: command.flash ?? "auto"
  });
  const raw = context._ctx;
  raw.setThreads(command.threads);
  return {model, raw, vocabulary: model.fileInfo.metadata.tokenizer.ggml.tokens.length};
}

// parts: {sequence, position, tokens, logits: indexes of tokens}. Returns where each part's logits are.
async function decode(raw, parts) {
  raw.initBatch(parts.reduce((sum, part) => sum + part.tokens.length, 0));
  const rows = parts.map((part) => raw.addToBatch(
    part.sequence, part.position, Uint32Array.from(part.tokens), Uint32Array.from(part.logits ?? [])));
  await raw.decodeBatch();
  return rows;
}

// Computes prompts of `tokens` tokens each, `batch` tokens at a time; logits for the last token of each.
async function prefill(raw, vocabulary, {sequences, tokens, batch}) {
  let parts = [], room = batch;
  const flush = async () => {
    if (parts.length > 0) await decode(raw, parts);
    parts = [], room = batch;
  };
  for (let sequence = 0; sequence < sequences; sequence++) {
    for (let position = 0; position < tokens;) {
      const count = Math.min(room, tokens - position);
      const ids = Array.from({length: count}, (_, i) => token(sequence * tokens + position + i, vocabulary));
      const ends = position + count === tokens;
      parts.push({sequence, position, tokens: ids, logits: ends ? [count - 1] : []});
      position += count, room -= count;
      if (room === 0) await flush();
    }
  }
  await flush();
}

function greedySampler(model) {
  const sampler = new llama._bindings.AddonSampler(model._model);
  sampler.applyConfig({temperature: 0});
  return sampler;
}

const clear = (raw, sequences) => {
  for (let sequence = 0; sequence < sequences; sequence++) raw.disposeSequence(sequence);
};

async function bench({prefill: promptTokens, decode: answerTokens, sequences, sample = false}) {
  const batch = 512;
  const {model, raw, vocabulary} = await open({contextTokens: promptTokens + answerTokens + 1, sequences, batch});
  const sampler = greedySampler(model);
  const once = async () => {
    const began = process.hrtime.bigint();
    await prefill(raw, vocabulary, {sequences, tokens: promptTokens, batch});
    const prefillSeconds = seconds(began);
    const decodeBegan = process.hrtime.bigint();
    let next = Array.from({length: sequences}, (_, i) => token(i, vocabulary));
    for (let i = 0; i < answerTokens; i++) {
      const rows = await decode(raw, next.map((id, sequence) => (
        {sequence, position: promptTokens + i, tokens: [id], logits: [0]})));
      if (!sample) continue;
      for (let sequence = 0; sequence < sequences; sequence++) next[sequence] = await raw.sampleToken(rows[sequence][0], sampler);
    }
    const decodeSeconds = seconds(decodeBegan);
    clear(raw, sequences);
    return {prefillSeconds, decodeSeconds};
  };
  await once();  // Warms up: the first pass touches pages that later ones find ready.
  const {prefillSeconds, decodeSeconds} = await once();
  return {
    prefill_tokens_per_s: sequences * promptTokens / prefillSeconds,
    decode_tokens_per_s: sequences * answerTokens / decodeSeconds,
    tokens_per_s: sequences * (promptTokens + answerTokens) / (prefillSeconds + decodeSeconds)
  };
}

// The ids of each text, special tokens as text, no BOS.
async function tokenize({texts}) {
  const model = await llama.loadModel({modelPath: command.model, vocabOnly: true});
  return {ids: texts.map((text) => [...model._model.tokenize(text, false)])};
}

// For each prompt (ids): the largest logits after its last token, a greedy answer, and how far its first two choices were
// apart at each of its tokens.
async function oracle({prompts, answer, top}) {
  const longest = Math.max(...prompts.map((ids) => ids.length));
  const {model, raw} = await open({contextTokens: longest + answer + 1});
  const results = [];
  for (const ids of prompts) {
    const sampler = greedySampler(model);
    const greedy = [], gaps = [];
    let best = [], row;
    for (let begin = 0; begin < ids.length; begin += 512) {
      const piece = ids.slice(begin, begin + 512);
      const ends = begin + piece.length === ids.length;
      const rows = await decode(raw, [{sequence: 0, position: begin, tokens: piece, logits: ends ? [piece.length - 1] : []}]);
      if (ends) row = rows[0][0];
    }
    for (let i = 0; i < answer; i++) {
      const [id, , , logits] = await raw.sampleToken(row, sampler, false, false, true);
      const pairs = [];  // The package hands them out sorted, largest first.
      for (let k = 0; k < Math.min(logits.length, 2 * Math.max(top, 2)); k += 2) pairs.push([logits[k], logits[k + 1]]);
      if (i === 0) best = pairs.slice(0, top);
      gaps.push(pairs[0][1] - pairs[1][1]);
      greedy.push(id);
      if (model._model.isEogToken(id)) break;
      const rows = await decode(raw, [{sequence: 0, position: ids.length + i, tokens: [id], logits: [0]}]);
      row = rows[0][0];
    }
    clear(raw, 1);
    results.push({top: best, greedy, gaps, text: model._model.detokenize(Uint32Array.from(greedy))});
  }
  return {results};
}

const commands = {bench, tokenize, oracle};
try {
  const result = await commands[command.do](command);
  process.stdout.write(JSON.stringify({...result, llama_cpp: llama.llamaCppRelease?.release}) + "\n", () => process.exit(0));
} catch (error) {
  process.stderr.write(`${error.stack}\n`, () => process.exit(1));
}
