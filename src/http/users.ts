/** `/users`: what the commands `users` do, for admins. Users of the configuration are listed, and changed only there. */
import type { FastifyInstance } from "fastify";
import { type Account, addUser, changeUser, freeName, listUsers, removeUser } from "../auth/accounts.ts";
import { administration } from "./access.ts";
import { noteForAudit } from "./auditing.ts";
import {
  ForgottenUser,
  Named,
  NewUser,
  RemovedUser,
  UserChange,
  UserRef,
  UsersAnswer,
  type UserView,
} from "./schemas/accounts.ts";
import { EmptyRequest, NoQuery } from "./schemas/common.ts";
import type { ServerParts } from "./server-parts.ts";
import { ignoreTypeOfNothing } from "./validate.ts";

const ABOUT = { tags: ["accounts"], querystring: NoQuery };
const CHANGE = { ...ABOUT, refusals: ["conflict" as const] };

const onRequest = administration("Managing users");

type Parts = Pick<ServerParts, "credentials" | "log" | "forget">;

export function usersRoutes(app: FastifyInstance, parts: Parts): void {
  listRoute(app, parts);
  addRoute(app, parts);
  changeRoute(app, parts);
  removeRoute(app, parts);
  forgetRoute(app, parts);
}

function listRoute(app: FastifyInstance, { credentials: { accounts } }: Parts): void {
  const schema = { ...ABOUT, operationId: "listUsers", summary: "The users", response: { 200: UsersAnswer } };
  app.get("/users", { schema, onRequest }, async () => ({
    users: (await listUsers(accounts)).map(viewOfUser),
  }));
}

function addRoute(app: FastifyInstance, { credentials: { accounts }, log }: Parts): void {
  const schema = {
    ...CHANGE,
    operationId: "addUser",
    summary: "Add a user",
    body: NewUser,
    response: { 201: UserRef },
  };
  app.post<{ Body: NewUser }>(
    "/users",
    { schema, config: { audit: "user.add" }, onRequest },
    async (request, reply) => {
      const { body, caller } = request;
      noteForAudit(request, {
        target: body.name,
        details: `${changesIn({ ...body, password: undefined })}${body.again === true ? ", again" : ""}`,
      });
      const user = await addUser(accounts, body);
      log.info({ user: user.name, role: user.role, by: caller.name }, "user added");
      return reply.code(201).send(viewOfUser(user));
    },
  );
}

function changeRoute(app: FastifyInstance, { credentials: { accounts }, log }: Parts): void {
  const schema = {
    ...CHANGE,
    operationId: "changeUser",
    summary: "Give a user another role, team or password",
    description: "Its keys and tasks stay. The last admin stays one.",
    params: Named,
    body: UserChange,
    response: { 200: UserRef },
  };
  app.patch<{ Params: Named; Body: UserChange }>(
    "/users/:name",
    { schema, config: { audit: "user.change" }, onRequest },
    async ({ body, caller, params }, { request }) => {
      noteForAudit(request, { details: changesIn(body) });
      const user = await changeUser(accounts, params.name, body);
      log.info({ user: user.name, role: user.role, changed: Object.keys(body), by: caller.name }, "user changed");
      return viewOfUser(user);
    },
  );
}

function removeRoute(app: FastifyInstance, { credentials: { accounts }, log }: Parts): void {
  const schema = {
    ...CHANGE,
    operationId: "removeUser",
    summary: "Remove a user with its keys; its tasks stay",
    params: Named,
    response: { 200: RemovedUser },
  };
  const removing = [onRequest, ignoreTypeOfNothing];
  app.delete<{ Params: Named }>(
    "/users/:name",
    { schema, config: { audit: "user.remove" }, onRequest: removing },
    async ({ caller, params: { name } }) => {
      const keys = await removeUser(accounts, name);
      log.info({ user: name, keys, by: caller.name }, "user removed");
      return { name, keys };
    },
  );
}

function forgetRoute(app: FastifyInstance, { credentials: { accounts }, forget, log }: Parts): void {
  const schema = {
    ...ABOUT,
    operationId: "forgetUser",
    summary: "Remove what is stored of a user, whether there is one of that name or not",
    description:
      "What goes on is canceled. Answers when all is removed; when it was cut off, it goes on where it was. The account stays, and so do rows of the audit log and backups. The body may be left out.",
    params: Named,
    body: EmptyRequest,
    response: { 200: ForgottenUser },
    refusals: ["store_unavailable" as const],
  };
  app.post<{ Params: Named }>(
    "/users/:name/forget",
    { schema, config: { audit: "data.forget", isPatient: true }, onRequest: [onRequest, ignoreTypeOfNothing] },
    async ({ caller, params: { name } }) => {
      const { canceled, tasks, batches, files, filesHeld, answers, usageRows } = await forget(name);
      if (filesHeld === 0) await freeName(accounts, name);
      log.info({ user: name, tasks, files, by: caller.name }, "user forgotten");
      return { name, canceled, tasks, batches, files, answers, usage_rows: usageRows };
    },
  );
}

/** For the audit log: a password itself is not for it. */
function changesIn({ role, team, password }: UserChange): string {
  return [
    ...(role === undefined ? [] : [`role ${role}`]),
    ...(team === undefined ? [] : [team === "" ? "no team" : `team ${team}`]),
    ...(password === undefined ? [] : ["password"]),
  ].join(", ");
}

function viewOfUser({ name, role, team, hasPassword, keys, createdAt }: Account): UserView {
  return { name, role, team, has_password: hasPassword, keys, created_at: createdAt };
}
