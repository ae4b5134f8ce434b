/** `GET /models` and `GET /models/<name>`; having models loaded, unloaded, fetched and forgotten. Names may have slashes. */
import type { FastifyInstance } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import type { CatalogModel } from "../models/catalog.ts";
import { administration } from "./access.ts";
import { noteForAudit } from "./auditing.ts";
import { maySeeInside, publicModel } from "./public-words.ts";
import { NoQuery } from "./schemas/common.ts";
import { type ModelView, PlacesRequest, PullRequest, ServedModelRef, ServedModelsAnswer } from "./schemas/models.ts";
import { ModelParams, NameParams } from "./schemas/openai-answers.ts";
import type { ServerParts } from "./server-parts.ts";
import { ignoreTypeOfNothing } from "./validate.ts";
import { viewOfModel } from "./views.ts";

const ABOUT_ONE = { tags: ["models"], querystring: NoQuery, response: { 200: ServedModelRef } };

/** Before the body is read: who may do this, and that it may be missing. */
const onRequest = [administration("Loading and unloading models"), ignoreTypeOfNothing];

export function servedModelsRoute(app: FastifyInstance, { catalog }: ServerParts): void {
  const schema = {
    operationId: "listServedModels",
    summary: "All models that requests can name, and where each is",
    tags: ["models"],
    querystring: NoQuery,
    response: { 200: ServedModelsAnswer },
  };
  app.get("/models", { schema }, async ({ caller }) => ({
    models: (await catalog.list()).map((model) => viewFor(caller, model)),
  }));
}

export function servedModelRoute(app: FastifyInstance, { catalog }: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "getServedModel",
    summary: "One model",
    params: ModelParams,
    refusals: ["not_found" as const],
  };
  app.get<{ Params: { "*": string } }>("/models/*", { schema }, async ({ caller, params: { "*": name } }) =>
    viewFor(caller, await catalog.named(name)),
  );
}

export function loadModelRoute(app: FastifyInstance, { catalog, log }: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "loadModel",
    summary: "Load a model",
    description:
      "Answers at once; the `state` of its instances tells the rest. Idle models make room for it where memory is short, and busy ones as soon as they are idle. The body may be left out. Needs the role admin.",
    params: NameParams,
    body: PlacesRequest,
    refusals: ["model_too_large" as const],
  };
  app.post<Placed>(
    "/models/:model/load",
    { schema, config: { audit: "model.load" }, onRequest },
    async ({ caller, params, body }) => {
      const model = await catalog.load(params.model, body.gpu_ids ?? null);
      log.info({ model: model.name, gpus: body.gpu_ids, by: caller.name }, "model is to be loaded");
      return viewFor(caller, model);
    },
  );
}

export function unloadModelRoute(app: FastifyInstance, { catalog, log }: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "unloadModel",
    summary: "Unload a model",
    description:
      "Answers at once. It takes no new tasks, and leaves when those that run there have ended; it is loaded again when a task wants it. The own model of a GPU is a 409. The body may be left out. Needs the role admin.",
    params: NameParams,
    body: PlacesRequest,
    refusals: ["conflict" as const],
  };
  app.post<Placed>(
    "/models/:model/unload",
    { schema, config: { audit: "model.unload" }, onRequest },
    async ({ caller, params, body }) => {
      const model = await catalog.unload(params.model, body.gpu_ids ?? null);
      log.info({ model: model.name, gpus: body.gpu_ids, by: caller.name }, "model is to be unloaded");
      return viewFor(caller, model);
    },
  );
}

export function pullModelRoute(app: FastifyInstance, { catalog, log }: ServerParts): void {
  const schema = {
    operationId: "pullModel",
    summary: "Fetch a model",
    description:
      "Answers at once; `fetch` tells how far it is. It is then loaded when it is wanted, also after a restart. For one that is here, nothing is wrong with asking again. Needs the role admin.",
    tags: ["models"],
    querystring: NoQuery,
    body: PullRequest,
    response: { 202: ServedModelRef },
    refusals: ["conflict" as const],
  };
  const pulling = [administration("Fetching models")];
  app.post<{ Body: PullRequest }>(
    "/models",
    { schema, config: { audit: "model.pull" }, onRequest: pulling },
    async (request, reply) => {
      const { caller, body } = request;
      const model = await catalog.pull(body.source, body.name, caller.name);
      noteForAudit(request, { target: model.name });
      log.info({ model: model.name, by: caller.name }, "model is to be fetched");
      return reply.code(202).send(viewFor(caller, model));
    },
  );
}

export function removeModelRoute(app: FastifyInstance, { catalog, log }: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "removeModel",
    summary: "Remove a model that was pulled",
    description:
      "Answers with the model as it was; its files are removed unless another model has them. One that is loaded, and one of the configuration, is a 409. Needs the role admin.",
    params: ModelParams,
    refusals: ["conflict" as const, "not_found" as const],
  };
  const removing = [administration("Removing models")];
  app.delete<{ Params: { "*": string } }>(
    "/models/*",
    { schema, config: { audit: "model.remove" }, onRequest: removing },
    async ({ caller, params: { "*": name } }) => {
      const model = await catalog.remove(name, caller.name);
      log.info({ model: model.name, by: caller.name }, "model removed");
      return viewFor(caller, model);
    },
  );
}

interface Placed {
  Params: { model: string };
  Body: PlacesRequest;
}

function viewFor(caller: Caller, model: CatalogModel): ModelView {
  return viewOfModel(maySeeInside(caller) ? model : publicModel(model));
}
