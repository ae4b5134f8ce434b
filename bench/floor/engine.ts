/** The process of the floor that asks the server behind it. */
import { Pool } from "undici";
import { UPSTREAM_MODEL } from "../upstream-words.ts";
import { Collected } from "./collected.ts";

export interface Order {
  readonly number: number;
  readonly body: { readonly text?: string; readonly messages?: readonly object[] };
}

/** The text of a task, or its end. */
export interface News {
  readonly number: number;
  readonly text?: string;
  readonly usage?: object;
}

/** An event of the server behind it. */
interface Event {
  readonly choices: readonly { readonly text?: string; readonly delta?: { readonly content?: string } }[];
  readonly usage?: object;
}

const pool = new Pool(process.argv[2]!, { connections: 64 });
const news = new Collected<News>((all) => process.send!(all));

process.on("message", (orders: readonly Order[]) => {
  for (const order of orders) ask(order);
});

function ask({ number, body: { text, messages } }: Order): void {
  const path = messages === undefined ? "/v1/completions" : "/v1/chat/completions";
  const fields = { model: UPSTREAM_MODEL, max_tokens: 1, stream: true, stream_options: { include_usage: true } };
  const body = JSON.stringify(messages === undefined ? { prompt: text, ...fields } : { messages, ...fields });
  let rest = "";
  let usage: object = {};
  const headers = { "content-type": "application/json" };
  pool.dispatch(
    { path, method: "POST", headers, body },
    {
      onRequestStart() {},
      onResponseStart() {},
      onResponseData(_controller, bytes) {
        const events = `${rest}${bytes.toString()}`.split("\n\n");
        rest = events.pop()!;
        for (const event of events.map((one) => one.slice("data: ".length))) {
          if (event === "[DONE]") continue;
          const { choices, usage: told } = JSON.parse(event) as Event;
          if (told) usage = told;
          const piece = choices[0]?.text ?? choices[0]?.delta?.content;
          if (piece !== undefined) news.add({ number, text: piece });
        }
      },
      onResponseEnd: () => news.add({ number, usage }),
      onResponseError: (_controller, error) => {
        throw error;
      },
    },
  );
}
