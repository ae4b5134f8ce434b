/** The clients that keep the server busy. */
import { type Api } from "./api.ts";
import { Client } from "./client.ts";
import { type Dice } from "./dice.ts";
import { type Kind } from "./kinds.ts";
import { type Ledger } from "./ledger.ts";
import { type Receiver } from "./receiver.ts";
import { type Report } from "./report.ts";
import { type SubmitterParts } from "./submitter.ts";
import { SHAPE, type World } from "./world.ts";

const CLIENTS_OF_A_USER = 3;

export interface LoadParts {
  readonly world: World;
  readonly api: Api;
  readonly ledger: Ledger;
  readonly report: Report;
  readonly receiver: Receiver;
  /** Whether tasks may cost a worker its life, by what they do or by not letting themselves be canceled. */
  readonly deadly: boolean;
}

/** Milliseconds in which what the clients have begun has to end. */
const PATIENCE = 60_000;

/** What somebody needs who submits tasks. */
export function submitterParts(
  parts: LoadParts,
  own: Pick<SubmitterParts, "user" | "dice" | "newTag" | "leave">,
): SubmitterParts {
  const { api, ledger, report, receiver, deadly } = parts;
  const isCrashing = () =>
    [...ledger.tasks.values()].some(({ item, final }) => item.kind === "crash" && final === null);
  // One that kills its workers costs three of them.
  const mayBe = (kind: Kind) => (deadly ? kind !== "crash" || !isCrashing() : kind !== "crash" && kind !== "deaf");
  return { ...own, api, ledger, report, shape: SHAPE, webhookUrl: receiver.urlFor(own.user), mayBe };
}

/** The secrets that webhooks are signed with are shown once. */
export async function takeSecrets({ api, world: { users, admin } }: LoadParts): Promise<void> {
  for (const user of [...users, admin]) {
    const answer = await api.ask(user, "GET", "/webhook_secret");
    user.secret = (answer!.body as { secret: string }).secret;
  }
}

export class Load {
  readonly #clients: readonly Client[];
  readonly #dice: Dice;
  readonly #over = new AbortController();
  readonly #leave = new AbortController();
  readonly #work = new Set<Promise<void>>();

  /** @param newTag makes a name that no submission before had */
  constructor(parts: LoadParts, dice: Dice, newTag: () => string) {
    this.#dice = dice;
    this.#clients = parts.world.users.flatMap((user) =>
      Array.from({ length: CLIENTS_OF_A_USER }, () => {
        const own = { user, dice: dice.fork(), newTag, leave: this.#leave.signal };
        return new Client(submitterParts(parts, own));
      }),
    );
  }

  start(): void {
    for (const client of this.#clients) this.#track(client.run(this.#over.signal));
  }

  /** Many submissions at once. */
  burst(): void {
    this.#track(this.#dice.pick(this.#clients).burst());
  }

  /** Resolves when the clients have finished what they have begun. @throws what one of them threw: a bug of the suite */
  async stop(): Promise<void> {
    this.#over.abort();
    const tooLate = setTimeout(() => this.#leave.abort(), PATIENCE);
    await Promise.all(this.#work);
    clearTimeout(tooLate);
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    // Whoever stops the load gets the error.
    work.catch(() => {});
  }
}
