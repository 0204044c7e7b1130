// The official Node client against a running Tug (BASE_URL): plain, streamed, embeddings, errors, abort.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];
const ask = { model: "ai/smollm2", messages, max_tokens: 16, temperature: 0 };

const plain = await client.chat.completions.create(ask);
assert.ok(plain.choices[0].message.content.trim());
console.log("ok plain");

let text = "";
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
  text += chunk.choices[0].delta.content ?? "";
}
assert.equal(text, plain.choices[0].message.content);
console.log("ok stream");

const tool = {
  type: "function",
  function: { name: "look", parameters: { type: "object", properties: { at: { enum: ["a", "b"] } }, required: ["at"] } },
};
const calling = { ...ask, max_tokens: 120, tools: [tool], tool_choice: "required", parallel_tool_calls: false };
const called = (await client.chat.completions.create(calling)).choices[0];
assert.equal(called.finish_reason, "tool_calls");
assert.ok(["a", "b"].includes(JSON.parse(called.message.tool_calls[0].function.arguments).at));
let pieces = "";
const runner = client.chat.completions.stream(calling);
runner.on("tool_calls.function.arguments.delta", (e) => (pieces += e.arguments_delta));
const final = await runner.finalChatCompletion();
assert.equal(pieces, final.choices[0].message.tool_calls[0].function.arguments);
console.log("ok tools");

const schema = { type: "object", properties: { yes: { type: "boolean" } }, required: ["yes"], additionalProperties: false };
const parsed = await client.chat.completions.parse({
  ...ask,
  max_tokens: 60,
  response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
});
assert.equal(typeof JSON.parse(parsed.choices[0].message.content).yes, "boolean");
console.log("ok schema");

const vectors = await client.embeddings.create({ model: "ai/all-minilm", input: ["a", "b"] });
assert.equal(vectors.data.length, 2);
assert.equal(vectors.data[0].embedding.length, 384);
console.log("ok embeddings");

await assert.rejects(client.chat.completions.create({ ...ask, model: "ai/nothing" }), (e) => e.status === 404);
await assert.rejects(client.chat.completions.create({ ...ask, temperature: "hot" }), (e) => e.status === 400);
console.log("ok errors");

const long = await client.chat.completions.create({ ...ask, max_tokens: 2000, stream: true, temperature: 1 });
for await (const chunk of long) {
  if (chunk.choices.length) break; // leaving the loop aborts the request
}
console.log("ok abort");
