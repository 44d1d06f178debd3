// Streams: of chat completions, completions and responses.
import assert from "node:assert/strict";

const model = "echo";
const text = "one two three four five";
const messages = [{ role: "user", content: text }];

export const cases = {
  async "streams.chat comes in pieces, with its usage last"({ client }) {
    const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
    let said = "";
    let last = null;
    let finish = null;
    for await (const chunk of stream) {
      assert.equal(chunk.object, "chat.completion.chunk");
      said += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      last = chunk;
    }
    assert.deepEqual([said, finish], [text, "stop"]);
    assert.ok(last.usage.completion_tokens > 0);
  },

  async "streams.the client's own helper puts it together"({ client }) {
    const whole = await client.chat.completions.stream({ model, messages }).finalChatCompletion();
    assert.equal(whole.choices[0].message.content, text);
  },

  async "streams.a completion comes in pieces"({ client }) {
    let said = "";
    for await (const chunk of await client.completions.create({ model, prompt: text, stream: true })) said += chunk.choices[0]?.text ?? "";
    assert.equal(said, text);
  },

  async "streams.one that fails says so"({ client, sdk }) {
    const read = async () => {
      for await (const _ of await client.chat.completions.create({ model, messages, stream: true, fault: "permanent" }));
    };
    await assert.rejects(read, (error) => error instanceof sdk.OpenAI.APIError && error.param !== "stream");
  },

  async "streams.a response tells its events in order, and goes on where it was cut off"({ client }) {
    const events = [];
    let response = null;
    const stream = await client.responses.create({ model, input: text, stream: true, background: true });
    for await (const event of stream) {
      events.push(event);
      response = event.response ?? response;
    }
    // They grow, not by one each: pieces of text may come together or apart when it is told again.
    const numbers = events.map((event) => event.sequence_number);
    assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    const said = (some) => some.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");
    assert.equal(said(events), text);
    const middle = Math.floor(events.length / 2);
    const rest = [];
    const again = await client.responses.retrieve(response.id, { stream: true, starting_after: numbers[middle] });
    for await (const event of again) rest.push(event);
    assert.ok(rest[0].sequence_number > numbers[middle]);
    assert.equal(said([...events.slice(0, middle + 1), ...rest]), text);
    assert.equal(rest.at(-1).type, "response.completed");
  },
};
