/** `/keys`: what the commands `keys` do, for admins. Keys of the configuration are listed, and changed only there. */
import type { FastifyInstance } from "fastify";
import { addKey, type KeyView as Key, listKeys, revokeKey, rotateKey } from "../auth/keys.ts";
import type { KeyUses } from "../store/accounts.ts";
import { administration } from "./access.ts";
import { noteForAudit } from "./auditing.ts";
import {
  KeyRef,
  KeysAnswer,
  type KeyView,
  MadeKeyRef,
  Named,
  NewKeyRequest,
  RotateRequest,
} from "./schemas/accounts.ts";
import { NoQuery } from "./schemas/common.ts";
import type { ServerParts } from "./server-parts.ts";
import { ignoreTypeOfNothing } from "./validate.ts";

const ABOUT = { tags: ["accounts"], querystring: NoQuery };
const CHANGE = { ...ABOUT, refusals: ["conflict" as const] };

const mayManage = administration("Managing keys");
const onRequest = [mayManage, ignoreTypeOfNothing];

type Parts = Pick<ServerParts, "credentials" | "log">;

export function keysRoutes(app: FastifyInstance, parts: Parts): void {
  listRoute(app, parts);
  addRoute(app, parts);
  rotateRoute(app, parts);
  revokeRoute(app, parts);
}

function listRoute(app: FastifyInstance, { credentials: { accounts, keyUse } }: Parts): void {
  const schema = { ...ABOUT, operationId: "listKeys", summary: "The API keys", response: { 200: KeysAnswer } };
  app.get("/keys", { schema, onRequest: mayManage }, async () => {
    const uses = await keyUse.all();
    return { keys: (await listKeys(accounts)).map((key) => viewOfKey(key, uses)) };
  });
}

function addRoute(app: FastifyInstance, { credentials: { accounts }, log }: Parts): void {
  const schema = {
    ...ABOUT,
    operationId: "addKey",
    summary: "Make an API key; it is shown only once",
    body: NewKeyRequest,
    response: { 201: MadeKeyRef },
    refusals: ["conflict" as const, "not_found" as const],
  };
  app.post<{ Body: NewKeyRequest }>(
    "/keys",
    { schema, config: { audit: "key.add" }, onRequest: mayManage },
    async (request, reply) => {
      const { body, caller } = request;
      noteForAudit(request, { target: body.name ?? "", details: `user ${body.user}` });
      const { expires_at: expiresAt, ...rest } = body;
      const made = await addKey(accounts, { ...rest, expiresAt });
      noteForAudit(request, { target: made.name, details: `user ${made.user}` });
      log.info({ name: made.name, user: made.user, by: caller.name }, "API key made");
      return reply.code(201).send({ ...viewOfKey(made), key: made.key });
    },
  );
}

function rotateRoute(app: FastifyInstance, { credentials: { accounts }, log }: Parts): void {
  const schema = {
    ...CHANGE,
    operationId: "rotateKey",
    summary: "Make another key under the same name; the one before goes on for a while",
    params: Named,
    body: RotateRequest,
    response: { 200: MadeKeyRef },
  };
  app.post<{ Params: Named; Body: RotateRequest }>(
    "/keys/:name/rotate",
    { schema, config: { audit: "key.rotate" }, onRequest },
    async ({ body, caller, params }) => {
      const made = await rotateKey(accounts, params.name, body.overlap_seconds);
      log.info({ name: made.name, user: made.user, by: caller.name }, "API key rotated");
      return { ...viewOfKey(made), key: made.key };
    },
  );
}

function revokeRoute(app: FastifyInstance, { credentials: { accounts, keyUse }, log }: Parts): void {
  const schema = {
    ...CHANGE,
    operationId: "revokeKey",
    summary: "Revoke an API key at once, with those before it",
    params: Named,
    response: { 200: KeyRef },
  };
  app.delete<{ Params: Named }>(
    "/keys/:name",
    { schema, config: { audit: "key.revoke" }, onRequest },
    async ({ caller, params: { name } }) => {
      const uses = await keyUse.all();
      const revoked = await revokeKey(accounts, name);
      log.info({ name, user: revoked.user, by: caller.name }, "API key revoked");
      return viewOfKey(revoked, uses);
    },
  );
}

function viewOfKey(key: Key, uses?: KeyUses): KeyView {
  return {
    name: key.name,
    user: key.user,
    scopes: key.scopes,
    models: key.models,
    expires_at: key.expiresAt,
    previous_until: key.previousUntil,
    last_used_at: uses?.get(key.sha256) ?? null,
    created_at: key.createdAt,
  };
}
