/** `/users` and `/keys`: what the commands of the same names do, for admins. Those of the configuration are listed, and only changed there. */
import { type FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import { type Account, addUser, changeUser, listUsers, removeUser } from "../auth/accounts.ts";
import { addKey, hashesOfKeys, type KeyView as Key, listKeys, revokeKey, rotateKey } from "../auth/keys.ts";
import { administration } from "./access.ts";
import {
  KeyRef,
  KeysAnswer,
  type KeyView,
  MadeKeyRef,
  NewKeyRequest,
  NewUser,
  RemovedUser,
  RotateRequest,
  UserChange,
  UserRef,
  UsersAnswer,
  type UserView,
} from "./schemas/accounts.ts";
import { NoQuery } from "./schemas/common.ts";
import { type ServerParts } from "./server-parts.ts";
import { ignoreTypeOfNothing } from "./validate.ts";

const Named = Type.Object({ name: Type.String() });
type Named = { Params: Static<typeof Named> };

const ABOUT = { tags: ["accounts"], querystring: NoQuery };
const CONFLICT = { refusals: ["conflict" as const] };

const onRequest = administration("Managing users");

export function usersRoutes(app: FastifyInstance, { credentials, log }: ServerParts): void {
  const context = credentials.accounts;

  const list = {
    ...ABOUT,
    operationId: "listUsers",
    summary: "The users",
    response: { 200: UsersAnswer },
    refusals: ["forbidden" as const],
  };
  app.get("/users", { schema: list, onRequest }, () => ({ users: listUsers(context).map(viewOfUser) }));

  const add = {
    ...ABOUT,
    ...CONFLICT,
    operationId: "addUser",
    summary: "Add a user",
    body: NewUser,
    response: { 201: UserRef },
  };
  app.post<{ Body: NewUser }>("/users", { schema: add, onRequest }, async ({ body, caller }, reply) => {
    const user = await addUser(context, body);
    log.info({ user: user.name, role: user.role, by: caller.name }, "user added");
    return reply.code(201).send(viewOfUser(user));
  });

  const change = {
    ...ABOUT,
    ...CONFLICT,
    operationId: "changeUser",
    summary: "Give a user another role or password",
    description: "Its keys and tasks stay. The last admin stays one.",
    params: Named,
    body: UserChange,
    response: { 200: UserRef },
  };
  app.patch<Named & { Body: UserChange }>(
    "/users/:name",
    { schema: change, onRequest },
    async ({ body, caller, params }) => {
      const user = await changeUser(context, params.name, body);
      const changed = Object.keys(body);
      log.info({ user: user.name, role: user.role, changed, by: caller.name }, "user changed");
      return viewOfUser(user);
    },
  );

  const remove = {
    ...ABOUT,
    ...CONFLICT,
    operationId: "removeUser",
    summary: "Remove a user with its keys; its tasks stay",
    params: Named,
    response: { 200: RemovedUser },
  };
  const removing = [onRequest, ignoreTypeOfNothing];
  app.delete<Named>("/users/:name", { schema: remove, onRequest: removing }, ({ caller, params: { name } }) => {
    const keys = removeUser(context, name);
    log.info({ user: name, keys, by: caller.name }, "user removed");
    return { name, keys };
  });
}

export function keysRoutes(app: FastifyInstance, { credentials, log }: ServerParts): void {
  const context = credentials.accounts;
  const mayManage = administration("Managing keys");

  const list = {
    ...ABOUT,
    operationId: "listKeys",
    summary: "The API keys",
    response: { 200: KeysAnswer },
    refusals: ["forbidden" as const],
  };
  app.get("/keys", { schema: list, onRequest: mayManage }, () => {
    const hashes = hashesOfKeys(context);
    const lastOf = (name: string): string | null => credentials.keyUse.lastOf(hashes.get(name) ?? "");
    return { keys: listKeys(context).map((key) => viewWith(key, lastOf(key.name))) };
  });

  const add = {
    ...ABOUT,
    ...CONFLICT,
    operationId: "addKey",
    summary: "Make an API key; it is shown only once",
    body: NewKeyRequest,
    response: { 201: MadeKeyRef },
    refusals: ["conflict" as const, "not_found" as const],
  };
  app.post<{ Body: NewKeyRequest }>("/keys", { schema: add, onRequest: mayManage }, ({ body, caller }, reply) => {
    const { expires_at: expiresAt, ...rest } = body;
    const made = addKey(context, { ...rest, expiresAt });
    log.info({ name: made.name, user: made.user, by: caller.name }, "API key made");
    return reply.code(201).send({ ...viewWith(made, null), key: made.key });
  });

  const rotate = {
    ...ABOUT,
    ...CONFLICT,
    operationId: "rotateKey",
    summary: "Make another key under the same name; the one before goes on for a while",
    params: Named,
    body: RotateRequest,
    response: { 200: MadeKeyRef },
  };
  app.post<Named & { Body: RotateRequest }>(
    "/keys/:name/rotate",
    { schema: rotate, onRequest: [mayManage, ignoreTypeOfNothing] },
    ({ body, caller, params }) => {
      const made = rotateKey(context, params.name, body.overlap_seconds);
      log.info({ name: made.name, user: made.user, by: caller.name }, "API key rotated");
      return { ...viewWith(made, null), key: made.key };
    },
  );

  const revoke = {
    ...ABOUT,
    ...CONFLICT,
    operationId: "revokeKey",
    summary: "Revoke an API key at once, with those before it",
    params: Named,
    response: { 200: KeyRef },
  };
  app.delete<Named>(
    "/keys/:name",
    { schema: revoke, onRequest: [mayManage, ignoreTypeOfNothing] },
    ({ caller, params: { name } }) => {
      const last = credentials.keyUse.lastOf(hashesOfKeys(context).get(name) ?? "");
      const revoked = revokeKey(context, name);
      log.info({ name, user: revoked.user, by: caller.name }, "API key revoked");
      return viewWith(revoked, last);
    },
  );
}

function viewOfUser({ name, role, hasPassword, keys, createdAt }: Account): UserView {
  return { name, role, has_password: hasPassword, keys, created_at: createdAt };
}

function viewWith(key: Key, last: string | null): KeyView {
  return {
    name: key.name,
    user: key.user,
    scopes: key.scopes,
    models: key.models,
    expires_at: key.expiresAt,
    previous_until: key.previousUntil,
    last_used_at: last,
    created_at: key.createdAt,
  };
}
