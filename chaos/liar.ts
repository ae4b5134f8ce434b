/** A server of OpenAI's kind that lies about as often as not, and knows what it has really given as an answer. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { type Dice } from "./dice.ts";
import { type Asked, begin, events, LIES } from "./lies.ts";

const MODEL = "honest-abe";
/** How often it lies to a task, and to those who ask what it is and how it does. */
const LIES_TO_TASKS = 0.6;
const LIES_OF_ITSELF = 0.2;

/** A complete answer. */
export interface Given {
  readonly text: string;
  /** Whether it is more than was asked for, so that its beginning is enough. */
  readonly isTooMuch: boolean;
}

/** Whole characters, some of several bytes. */
const WORDS = [" the", " liar", " says", " modelé", " 模型", " 🙂", ",", " çok", " güzel", "\n", " “yes”", " 0x00"];

export class Liar {
  readonly #server: Server;
  readonly #dice: Dice;
  readonly #onLie: () => void;
  /** By the text that was asked for: the complete answers that it was given. */
  readonly #given = new Map<string, Given[]>();
  /** It does not lie any more. */
  honest = true;

  private constructor(dice: Dice, onLie: () => void) {
    this.#dice = dice;
    this.#onLie = onLie;
    this.#server = createServer((request, response) => {
      // Whoever asked may have left.
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** @param onLie called for each lie that a task is told */
  static async start(dice: Dice, onLie: () => void): Promise<Liar> {
    const liar = new Liar(dice, onLie);
    liar.#server.listen(0, "127.0.0.1");
    await once(liar.#server, "listening");
    return liar;
  }

  /** A server of its own for each number; those with an odd one are of a kind that tells how it does. */
  urlOf(number: number): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${number}`;
  }

  /** The complete answers that were given to a text. */
  given(text: string): readonly Given[] {
    return this.#given.get(text) ?? [];
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, number, path] = /^\/(\d+)(\/.*)$/.exec(request.url!) ?? [];
    if (path === "/v1/completions") return this.#complete(request, response);
    const page = this.#page(path, Number(number) % 2 === 1);
    const lies = !this.honest && this.#dice.chance(LIES_OF_ITSELF);
    if (page === null) return void response.writeHead(404).end();
    response.end(lies ? this.#dice.pick(["", "null", "[]", '{"data": 7}', "a 1e999\nb -Infinity\n", "\0\0"]) : page);
  }

  /** What it says of itself. */
  #page(path: string | undefined, tells: boolean): string | null {
    if (path === "/v1/models")
      return JSON.stringify({ object: "list", data: [{ id: MODEL, owned_by: tells ? "vllm" : "nobody" }] });
    if (!tells) return null;
    if (path === "/version") return '{"version": "0.11.0"}';
    if (path !== "/metrics") return null;
    const value = this.honest ? 0 : this.#dice.pick([0, 0, -3, 1e300, "NaN", "-Inf", 0.5, "x"]);
    return `vllm:num_requests_running ${value}\nvllm:num_requests_waiting ${value}\nvllm:kv_cache_usage_perc ${value}\n`;
  }

  async #complete(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { prompt, max_tokens: most } = (await json(request)) as { prompt: string; max_tokens: number };
    const dice = this.#dice.fork();
    const length = dice.chance(0.7) ? most : dice.between(1, most);
    const tokens = Array.from({ length }, () => dice.pick(WORDS));
    const asked: Asked = { request, response, dice, tokens, promptTokens: Math.ceil(prompt.length / 4), most };
    if (this.honest || !dice.chance(LIES_TO_TASKS)) {
      this.#give(prompt, { text: tokens.join(""), isTooMuch: false });
      return void begin(asked).end(events(asked).join(""));
    }
    const lie = dice.weigh(Object.values(LIES).map((one) => [one.weight, one]));
    this.#onLie();
    if (lie.text !== undefined) this.#give(prompt, { text: lie.text(asked), isTooMuch: lie.isTooMuch === true });
    lie.answer(asked);
  }

  #give(prompt: string, given: Given): void {
    this.#given.set(prompt, [...this.given(prompt), given]);
  }
}
