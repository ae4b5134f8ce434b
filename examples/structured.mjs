/**
 * Answers that a program can use, by the package openai: an object that matches a schema, and a tool that the model calls.
 *
 *     npm install --no-save openai zod
 *     ALT_LAS_API_KEY=altlas_... node examples/structured.mjs
 *
 * ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642).
 */
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const { ALT_LAS_URL = "http://127.0.0.1:8642", ALT_LAS_API_KEY } = process.env;
const client = new OpenAI({ baseURL: `${ALT_LAS_URL}/v1`, apiKey: ALT_LAS_API_KEY });
const { id: model, capabilities } = (await client.models.list()).data[0];

const City = z.object({
  name: z.string().max(40),
  country: z.string().max(40),
  inhabitants: z.number().int().min(1),
  river: z.string().max(40).nullable(),
});
const { choices } = await client.chat.completions.parse({
  model,
  messages: [{ role: "user", content: "Tell me about Paris." }],
  response_format: zodResponseFormat(City, "city"),
});
const { name, country, inhabitants, river } = choices[0].message.parsed;
console.log(`${name} in ${country} has ${inhabitants} inhabitants, and ${river ?? "no river"}.`);

const weather = zodFunction({
  name: "get_weather",
  description: "Tells the weather of a city.",
  parameters: z.object({ city: z.string().max(40) }),
  function: ({ city }) => `In ${city} it is 21 degrees and sunny.`,
});
if (capabilities.includes("tools")) {
  const messages = [{ role: "user", content: "What does get_weather say of Paris?" }];
  const loop = client.chat.completions.runTools({ model, messages, tools: [weather] });
  loop.on("functionToolCall", (call) => console.log(`The model calls ${call.name}(${call.arguments}).`));
  console.log(`It answers: ${await loop.finalContent()}`);
} else console.log(`The model ${model} calls no tools.`);
