/**
 * What a server of OpenAI's kind may answer to a completion that is to stream
 * (https://platform.openai.com/docs/api-reference/completions): rightly, in an unusual form, or not at all what was asked for.
 */
import { type IncomingMessage, type ServerResponse } from "node:http";
import { type Dice } from "./dice.ts";

/** One request and the right answer to it. */
export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly dice: Dice;
  /** The tokens of the text, whole characters each. */
  readonly tokens: readonly string[];
  readonly promptTokens: number;
  /** `max_tokens`. */
  readonly most: number;
}

/** How it answers. */
export interface Lie {
  /** How often, beside the others. */
  readonly weight: number;
  /** What it gives as a complete answer, no more than was asked for; absent: nothing. */
  readonly text?: (asked: Asked) => string;
  /** It gives more than was asked for, so that only the beginning may be taken. */
  readonly isTooMuch?: true;
  readonly answer: (asked: Asked) => void;
}

const textOf = ({ tokens }: Asked): string => tokens.join("");
/** Three times as many tokens as were asked for. */
const tooMany = ({ tokens, most }: Asked): string[] =>
  Array.from({ length: 3 * most }, (_, n) => tokens[n % tokens.length]!);
/** Far more characters than that many tokens can have. */
const tooLong = (asked: Asked): string => textOf(asked).repeat(3000);

export const LIES: Readonly<Record<string, Lie>> = {
  // Right, in an unusual form.
  "one JSON object": { weight: 2, text: textOf, answer: (asked) => sendJson(asked, whole(asked, textOf(asked))) },
  "cut behind its end": {
    weight: 3,
    text: textOf,
    answer: (asked) => {
      begin(asked).write(events(asked).slice(0, -1).join(""), () => asked.response.destroy());
    },
  },
  "no [DONE]": { weight: 1, text: textOf, answer: (asked) => begin(asked).end(events(asked).slice(0, -1).join("")) },
  "comments, names, CRLF and cuts inside of characters": { weight: 2, text: textOf, answer: sendOddly },
  "null in the place of choices and text": {
    weight: 2,
    text: textOf,
    answer: (asked) => {
      const [first, ...rest] = events(asked);
      const nothing = [
        { choices: null, usage: null },
        { choices: [] },
        { choices: [{ text: null, finish_reason: null }] },
      ];
      begin(asked).end([first, ...nothing.map(event), ...rest].join(""));
    },
  },
  "figures that cannot be": {
    weight: 5,
    text: textOf,
    answer: (asked) => begin(asked).end(events(asked, impossibleUsage(asked.dice)).join("")),
  },
  // More than was asked for.
  "three times as many tokens": {
    weight: 2,
    text: (asked) => tooMany(asked).slice(0, asked.most).join(""),
    isTooMuch: true,
    answer: (asked) => begin(asked).end(events({ ...asked, tokens: tooMany(asked) }).join("")),
  },
  "one token without end": {
    weight: 1,
    text: tooLong,
    isTooMuch: true,
    answer: (asked) => begin(asked).end(events({ ...asked, tokens: [tooLong(asked)] }).join("")),
  },
  "a long JSON object": {
    weight: 1,
    text: tooLong,
    isTooMuch: true,
    answer: (asked) => sendJson(asked, whole(asked, tooLong(asked))),
  },
  // No answer.
  "cut anywhere": { weight: 4, answer: (asked) => sendPart(asked, () => asked.response.destroy()) },
  "an early end": { weight: 3, answer: (asked) => sendPart(asked, () => asked.response.end()) },
  "silence in the middle": { weight: 1, answer: (asked) => sendPart(asked, () => {}) },
  "silence from the beginning": { weight: 1, answer: () => {} },
  "garbage bytes": { weight: 2, answer: (asked) => begin(asked).end(garbage(asked.dice)) },
  "garbage in the place of HTTP": { weight: 1, answer: ({ request, dice }) => request.socket.end(garbage(dice)) },
  "a wrong shape": { weight: 6, answer: (asked) => begin(asked).end(misshapen(asked).map(event).join("") + DONE) },
  "a wrong shape as JSON": { weight: 2, answer: (asked) => sendJson(asked, asked.dice.pick(misshapen(asked))) },
  "a page": {
    weight: 1,
    answer: ({ response }) =>
      response.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome to nginx!</h1>"),
  },
  "an error in the middle": {
    weight: 2,
    answer: (asked) => {
      const error = {
        error: { message: "CUDA error: device-side assert", code: asked.dice.pick([500, "500", null, {}]) },
      };
      sendPart(asked, () => asked.response.end(event(error)));
    },
  },
  "a refusal": { weight: 5, answer: refuse },
};

const DONE = "data: [DONE]\n\n";

/** Each of them as it should be: the events of a whole answer. */
export function events(asked: Asked, usage: unknown = usageOf(asked)): string[] {
  const { tokens } = asked;
  const pieces = tokens.map((text, n) => ({ text, finish_reason: n === tokens.length - 1 ? reasonOf(asked) : null }));
  const chunks = pieces.map((piece) => ({
    object: "text_completion",
    choices: [{ index: 0, logprobs: null, ...piece }],
  }));
  return [...chunks, { object: "text_completion", choices: [], usage }].map(event).concat(DONE);
}

/** Begins a stream of events. */
export function begin({ response }: Asked): ServerResponse {
  return response.writeHead(200, { "content-type": "text/event-stream" });
}

function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

function reasonOf({ tokens, most }: Asked): string {
  return tokens.length < most ? "stop" : "length";
}

function usageOf({ promptTokens, tokens }: Asked): object {
  return { prompt_tokens: promptTokens, completion_tokens: tokens.length, total_tokens: promptTokens + tokens.length };
}

function whole(asked: Asked, text: string): object {
  return {
    object: "text_completion",
    choices: [{ index: 0, text, finish_reason: reasonOf(asked) }],
    usage: usageOf(asked),
  };
}

function sendJson({ response }: Asked, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/** Some of the answer, but not its end, and then something else. */
function sendPart(asked: Asked, then: () => void): void {
  const all = Buffer.from(
    events(asked)
      .slice(0, asked.tokens.length - 1)
      .join(""),
  );
  begin(asked).write(all.subarray(0, asked.dice.between(1, Math.max(1, all.length))), then);
}

/** As few servers do, but the standard allows: https://html.spec.whatwg.org/multipage/server-sent-events.html. */
function sendOddly(asked: Asked): void {
  const { dice, response } = asked;
  const odd = events(asked).map(
    (one) => `: still here\r\nretry: 10\r\nid: 7\r\n${one.replaceAll("\n", "\r\n")}:\r\n\r\n`,
  );
  const bytes = Buffer.from(odd.join(""));
  begin(asked);
  let at = 0;
  const send = (): void => {
    if (at >= bytes.length) return void response.end();
    const size = dice.between(1, 400);
    response.write(bytes.subarray(at, at + size));
    at += size;
    setImmediate(send);
  };
  send();
}

function refuse({ response, dice }: Asked): void {
  const status = dice.weigh([
    [4, 500],
    [3, 503],
    [3, 429],
    [1, 400],
    [1, 302],
    [1, 204],
    [1, 418],
    [1, 401],
  ]);
  const retryAfter = dice.pick(["-5", "soon", "0.5", "", "1e99", "Wed, 21 Oct 2015 07:28:00 GMT", "1, 2"]);
  const body = dice.pick(['{"error": null}', '{"error": {"message": 42}}', "[[[]]]", "", "<html>Bad Gateway", '"no"']);
  const headers = { "retry-after": retryAfter, ...(status === 302 && { location: "http://127.0.0.1:1/" }) };
  response.writeHead(status, headers).end(status === 204 ? undefined : body);
}

function impossibleUsage(dice: Dice): unknown {
  const figures = [-7, 1e300, 2 ** 53, 0.5, "12", null, [], {}, true, "NaN"];
  return dice.pick([
    "many",
    [1, 2],
    { prompt_tokens: dice.pick(figures), completion_tokens: dice.pick(figures) },
    {
      prompt_tokens: 9,
      completion_tokens: dice.pick(figures),
      prompt_tokens_details: { cached_tokens: dice.pick(figures) },
    },
    { prompt_tokens: 9, completion_tokens: 1e6, prompt_tokens_details: "none" },
  ]);
}

/** Events of which none has a text where it should be. */
function misshapen({ dice }: Asked): readonly unknown[] {
  const end = { finish_reason: "stop" };
  const text = dice.pick([42, null, true, ["a"], { text: "a" }, undefined]);
  return dice.pick<readonly unknown[]>([
    [{ choices: [{ text, ...end }] }],
    [{ choices: { 0: { text: "a", ...end } } }],
    [{ choices: "a" }, { choices: [null] }, { choices: [[]] }, { choices: [end] }],
    [{ choices: [{ finish_reason: 1, text: "a" }] }],
    [{ choices: [{ message: "a", ...end }] }],
    [[], 17, "text", null],
    [{ id: 1 }, { object: "text_completion", text: "a", ...end }],
    [{ choices: [{ index: 0, delta: { content: 5 }, ...end }] }],
  ]);
}

function garbage(dice: Dice): Buffer {
  return Buffer.from(Array.from({ length: dice.between(1, 5000) }, () => dice.between(0, 255)));
}
