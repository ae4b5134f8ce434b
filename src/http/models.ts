/** `GET /models` and `GET /models/<name>`, and having a model loaded and unloaded. Names may have slashes. */
import { type FastifyInstance } from "fastify";
import { type Caller } from "../auth/credentials.ts";
import { type CatalogModel } from "../models/catalog.ts";
import { administration } from "./access.ts";
import { maySeeInside, publicModel } from "./public-words.ts";
import { NoQuery } from "./schemas/common.ts";
import { type ModelView, PlacesRequest, ServedModelRef, ServedModelsAnswer } from "./schemas/models.ts";
import { ModelParams, NameParams } from "./schemas/openai-answers.ts";
import { type ServerParts } from "./server-parts.ts";
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

export function loadModelRoute(app: FastifyInstance, { catalog }: ServerParts): void {
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
  app.post<Placed>("/models/:model/load", { schema, onRequest }, async ({ caller, params, body }) =>
    viewFor(caller, await catalog.load(params.model, body.gpu_ids ?? null)),
  );
}

export function unloadModelRoute(app: FastifyInstance, { catalog }: ServerParts): void {
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
  app.post<Placed>("/models/:model/unload", { schema, onRequest }, async ({ caller, params, body }) =>
    viewFor(caller, await catalog.unload(params.model, body.gpu_ids ?? null)),
  );
}

interface Placed {
  Params: { model: string };
  Body: PlacesRequest;
}

function viewFor(caller: Caller, model: CatalogModel): ModelView {
  return viewOfModel(maySeeInside(caller) ? model : publicModel(model));
}
