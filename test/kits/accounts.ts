/* What every place of users and keys promises (src/store/accounts.ts). */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type Accounts,
  type AccountStore,
  type AccountsView,
  NOBODY,
  type StoredKey,
  type StoredUser,
} from "../../src/store/accounts.ts";

/** A server's, or a command's. */
export interface OpenAccounts {
  readonly store: AccountStore;
  readonly view: AccountsView;
  readonly close: () => void;
}

/** Makes an empty place, which goes with the test; each call of what it returns opens it once more, beside the others. */
export type MakeAccounts = (t: TestContext) => () => Promise<OpenAccounts>;

const AT = "2026-05-04T12:00:00.000Z";
const user = (name: string, more: Partial<StoredUser> = {}): StoredUser => ({
  name,
  role: "user",
  ...more,
  created_at: AT,
});
const hash = (letter: string): string => letter.repeat(64);
const key = (name: string, letter: string, more: Partial<StoredKey> = {}): StoredKey => ({
  name,
  user: "ada",
  sha256: hash(letter),
  ...more,
  created_at: AT,
});

const ALL: Accounts = {
  users: [
    user("zoë", {
      role: "admin",
      team: "şirket",
      password_hash: "scrypt$16$1$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    }),
    user("ada", { role: "viewer" }),
  ],
  keys: [
    key("z", "a", {
      scopes: ["submit", "read"],
      models: ['a "quoted" \\ model', "b"],
      expires_at: "2027-01-01T00:00:00Z",
    }),
    key("a", "b", { previous: [{ sha256: hash("c"), until: "2026-06-01T00:00:00.000Z" }] }),
  ],
  removed: [
    { name: "eve", at: AT },
    { name: "bob", at: AT },
  ],
};

function to(accounts: Accounts): () => { readonly accounts: Accounts; readonly result: null } {
  return () => ({ accounts, result: null });
}

function add(store: AccountStore, name: string): Promise<number> {
  return store.change((accounts) => ({
    accounts: { ...accounts, users: [...accounts.users, user(name)] },
    result: accounts.users.length,
  }));
}

/** @returns false: there is one of that name already */
function addOnce(store: AccountStore): Promise<boolean> {
  return store.change((accounts) => {
    const isThere = accounts.users.some((one) => one.name === "ada");
    return {
      accounts: isThere ? accounts : { ...accounts, users: [...accounts.users, user("ada")] },
      result: !isThere,
    };
  });
}

/** The users and keys that an opening has, when they are as the test says. */
async function seen(view: AccountsView, isWanted: (accounts: Accounts) => boolean): Promise<Accounts> {
  const found = Promise.withResolvers<Accounts>();
  const check = (): void => {
    const accounts = view.look();
    if (isWanted(accounts)) found.resolve(accounts);
  };
  const end = view.watch(check);
  check();
  return found.promise.finally(end);
}

export function exerciseAccounts(name: string, make: MakeAccounts): void {
  const world = (title: string, run: (t: TestContext, open: () => Promise<OpenAccounts>) => Promise<void>): void => {
    test(`${name}: ${title}`, (t) => {
      const open = make(t);
      return run(t, async () => {
        const opened = await open();
        t.after(opened.close);
        return opened;
      });
    });
  };

  world("a new place has nobody", async (_t, open) => {
    const { store, view } = await open();
    assert.deepEqual(plain(await store.read()), NOBODY);
    assert.deepEqual(plain(view.current), NOBODY);
    assert.equal(view.trouble, null);
    assert.equal((await store.uses()).size, 0);
  });

  world("what was changed is there at the next start, in its order and to the last character", async (_t, open) => {
    const { store, view, close } = await open();
    await store.change(to(ALL));
    await nextTurn();
    assert.deepEqual(plain(view.look()), ALL);
    close();
    const next = await open();
    assert.deepEqual(plain(next.view.current), ALL);
    assert.deepEqual(plain(await next.store.read()), ALL);
  });

  world("a change keeps the order of what it keeps, and takes another order as it is given", async (_t, open) => {
    const { store } = await open();
    const [zoe, ada] = ALL.users as [StoredUser, StoredUser];
    const steps: Accounts["users"][] = [
      [zoe, ada],
      [{ ...zoe, role: "user" }, ada, user("new")],
      [ada, user("new"), zoe],
      [user("first"), user("new")],
      [],
    ];
    for (const users of steps) {
      await store.change(to({ users, keys: [] }));
      assert.deepEqual(plain(await store.read()), { users, keys: [] });
    }
  });

  world("a change that throws has made nothing", async (_t, open) => {
    const { store } = await open();
    await store.change(to(ALL));
    const failing = store.change((): never => {
      throw new Error("no");
    });
    await assert.rejects(failing, /^Error: no$/);
    assert.deepEqual(plain(await store.read()), ALL);
    assert.equal(await add(store, "next"), 2);
  });

  world("changes of several openings lose nothing of each other", async (_t, open) => {
    const stores = [(await open()).store, (await open()).store];
    const names = Array.from({ length: 12 }, (_, place) => `user-${place}`);
    const before = await Promise.all(names.map((one, place) => add(stores[place % 2]!, one)));
    assert.deepEqual(
      before.toSorted((one, other) => one - other),
      names.map((_, place) => place),
    );
    const { users } = await stores[0]!.read();
    assert.deepEqual(users.map((one) => one.name).toSorted(), names.toSorted());
  });

  world("of two openings that add the same name one is told that it is there", async (_t, open) => {
    const stores = [(await open()).store, (await open()).store];
    const made = await Promise.all(stores.map(addOnce));
    assert.deepEqual(made.toSorted(), [false, true]);
    assert.equal((await stores[0]!.read()).users.length, 1);
  });

  world("what one opening changes the others have, and keep until something changes", async (_t, open) => {
    const [one, other] = [await open(), await open()];
    await one.store.change(to(ALL));
    const all = await seen(other.view, ({ keys }) => keys.length === 2);
    assert.deepEqual(plain(all), ALL);
    assert.equal(other.view.look(), all);
    await other.store.change((accounts) => ({ accounts: { ...accounts, keys: [] }, result: null }));
    assert.deepEqual((await seen(one.view, ({ keys }) => keys.length === 0)).users, ALL.users);
  });

  world("the latest use of a key stays, and goes when the key is gone", async (_t, open) => {
    const [one, other] = [await open(), await open()];
    await one.store.change(to(ALL));
    const known = (hashes: string) => (sha256: string) => [...hashes].some((letter) => sha256 === hash(letter));
    const early = "2026-05-04T12:00:00.000Z";
    const late = "2026-05-04T12:01:00.000Z";
    await one.store.addUses(
      new Map([
        [hash("a"), early],
        [hash("b"), early],
        [hash("f"), late],
      ]),
      known("abc"),
    );
    await other.store.addUses(new Map([[hash("a"), late]]), known("abc"));
    assert.deepEqual(
      [...(await one.store.uses())].toSorted(),
      [
        [hash("a"), late],
        [hash("b"), early],
      ],
      "one that is not known is not kept",
    );
    await one.store.change((accounts) => ({ accounts: { ...accounts, keys: [ALL.keys[0]!] }, result: null }));
    await other.store.addUses(new Map([[hash("a"), late]]), known("a"));
    assert.deepEqual([...(await one.store.uses())], [[hash("a"), late]]);
  });
}

/** Without what is only of a file. */
function plain({ users, keys, removed }: Accounts): Accounts {
  return { users, keys, ...(removed !== undefined && { removed }) };
}
