/** The first thing that somebody tries: the package openai, the first model of the list, no other setting. */
import OpenAI from "openai";
import { API_KEY, BASE_URL, report } from "./steps.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY });

await report({
  async chat() {
    const model = (await client.models.list()).data[0].id;
    const messages = [{ role: "user", content: "Once upon a time" }];
    const { choices } = await client.chat.completions.create({ model, messages, max_tokens: 16 });
    return { model, text: choices[0].message.content, finish: choices[0].finish_reason };
  },
});
