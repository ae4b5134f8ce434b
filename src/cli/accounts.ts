/** The commands `users` and `keys`; what they do is in auth/commands.ts. */
import type { Command } from "commander";
import type { CommandContext as AccountsContext, KeyOptions } from "../auth/commands.ts";
import { configured } from "./configured.ts";
import type { Options } from "./context.ts";

/** Where they print, and what they read. */
interface Io {
  readonly log: (text: string) => void;
  /** Opened only by commands that read. */
  readonly stdin: () => AsyncIterable<string | Buffer>;
}

/** A configuration takes libraries for YAML and for schemas, which the help can do without. */
const context = () => import("./context.ts");

export function addAccounts(cli: Command, io: Io): void {
  addUsers(cli.command("users").description("who may call"), io);
  addKeys(cli.command("keys").description("API keys of users"), io);
}

interface NewUser {
  readonly role: string;
  readonly team?: string;
  readonly again?: boolean;
  readonly passwordStdin?: boolean;
}

function addUsers(users: Command, io: Io): void {
  configured(users.command("add <name>"))
    .description("add a user")
    .requiredOption("--role <role>", "admin, user or viewer")
    .option("--team <name>", "the team that it is in; a viewer then sees only what is the team's")
    .option("--again", "it may be one that was removed, and has again what this one has left")
    .option("--password-stdin", "read the user's password from standard input")
    .action(async (name: string, { passwordStdin, ...options }: Options & NewUser, command: Command) => {
      const { auth, adding } = await context();
      const add = async (place: AccountsContext): Promise<string> => {
        const password = passwordStdin ? await auth.readPassword(io.stdin()) : undefined;
        return auth.usersAdd(place, { ...options, name, password });
      };
      io.log(await adding(options, command, add));
    });
  configured(users.command("set <name>"))
    .description("give a user another role or team")
    .option("--role <role>", "admin, user or viewer")
    .option("--team <name>", "the team that it is in from now on")
    .option("--no-team", "take it out of its team")
    .action(async (name: string, options: Options & { role?: string; team?: string | false }, command: Command) => {
      const { auth, changing } = await context();
      io.log(await changing(options, command, (place) => auth.usersSet(place, name, options)));
    });
  configured(users.command("password <name>"))
    .description("read a password from standard input and make it the user's")
    .action(async (name: string, options: Options, command: Command) => {
      const { auth, changing } = await context();
      const change = async (place: AccountsContext): Promise<string> =>
        auth.usersPassword(place, name, await auth.readPassword(io.stdin()));
      io.log(await changing(options, command, change));
    });
  addUserLists(users, io);
}

function addUserLists(users: Command, io: Io): void {
  configured(users.command("list"))
    .description("list the users")
    .action(async (options: Options, command: Command) => {
      const { auth, changing } = await context();
      io.log(await changing(options, command, (place) => auth.usersList(place)));
    });
  configured(users.command("remove <name>"))
    .description("remove a user and its keys")
    .action(async (name: string, options: Options, command: Command) => {
      const { auth, changing } = await context();
      io.log(await changing(options, command, (place) => auth.usersRemove(place, name)));
    });
  users
    .command("hash")
    .description("read a password from standard input and print its hash for auth.users")
    .action(async () => {
      const { auth } = await context();
      io.log(await auth.usersHash(await auth.readPassword(io.stdin())));
    });
}

function addKeys(keys: Command, io: Io): void {
  configured(keys.command("add"))
    .description("make an API key and print it once")
    .requiredOption("--user <name>", "whose key it is")
    .option("--name <label>", "what to call it")
    .option("--scopes <list>", "what it may do of what the role may: submit, read, admin, metrics")
    .option("--models <list>", "the models that it may ask for")
    .option("--expires <time>", 'when it ends: how long it lasts, like 90d, or a time, like "2027-01-31T00:00:00Z"')
    .action(async (options: Options & KeyOptions, command: Command) => {
      const { auth, adding } = await context();
      io.log(await adding(options, command, (place) => auth.keysAdd(place, options)));
    });
  configured(keys.command("list"))
    .description("list the keys")
    .action(async (options: Options, command: Command) => {
      const { auth, changing } = await context();
      io.log(await changing(options, command, (place) => auth.keysList(place)));
    });
  configured(keys.command("rotate <name>"))
    .description("make another key under the same name and print it once; the one before goes on for a day")
    .option("--overlap <time>", "how long the one before goes on, like 30m, 24h or 7d; 0s: it ends now")
    .action(async (name: string, options: Options & { overlap?: string }, command: Command) => {
      const { auth, changing } = await context();
      io.log(await changing(options, command, (place) => auth.keysRotate(place, name, options.overlap)));
    });
  configured(keys.command("revoke <name>"))
    .description("revoke a key at once")
    .action(async (name: string, options: Options, command: Command) => {
      const { auth, changing } = await context();
      io.log(await changing(options, command, (place) => auth.keysRevoke(place, name)));
    });
}
