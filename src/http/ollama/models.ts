/** `GET /api/tags`, `GET /api/ps`, `POST /api/show`: the models as Ollama's clients list them. */
import { reading } from "../access.ts";
import { hash } from "node:crypto";
import { basename } from "node:path";
import type { FastifyInstance } from "fastify";
import { AltLasError } from "../../errors.ts";
import { deviceTraits } from "../../gpu/device-kinds.ts";
import type { ModelStatus } from "../../gpu/models.ts";
import type { CatalogModel } from "../../models/catalog.ts";
import { type GgufFacts, ggufFacts } from "../../models/gguf-facts.ts";
import { quantizationOf } from "../../models/quantization.ts";
import { NoQuery } from "../schemas/common.ts";
import { ModelRequest } from "../schemas/ollama.ts";
import { type OllamaDetails, OllamaRunning, OllamaShow, OllamaTags } from "../schemas/ollama-answers.ts";
import type { ServerParts } from "../server-parts.ts";
import { nameMeant, tagged } from "./names.ts";

/** The time when a model is unloaded that nothing unloads. */
const NEVER = "2300-01-01T00:00:00.000Z";

const BYTES_UNKNOWN = 0;

/** A model that can be asked for, with all that is known of it. */
interface Shown {
  readonly status: ModelStatus;
  readonly model: CatalogModel;
  readonly facts: GgufFacts | null;
}

/** By path: the beginnings of files are read once. */
type FactsOf = (file: string | null) => Promise<GgufFacts | null>;

export function ollamaModelRoutes(app: FastifyInstance, parts: ServerParts): void {
  const factsOf = factsReader();
  tagsRoute(app, parts, factsOf);
  runningRoute(app, parts, factsOf);
  showRoute(app, parts, factsOf);
}

function factsReader(): FactsOf {
  const known = new Map<string, Promise<GgufFacts | null>>();
  return async (file) => {
    if (file === null) return null;
    let facts = known.get(file);
    if (facts === undefined) known.set(file, (facts = ggufFacts(file)));
    // It may come later.
    if ((await facts) === null) known.delete(file);
    return facts;
  };
}

async function shownModels({ models, catalog }: ServerParts, factsOf: FactsOf): Promise<readonly Shown[]> {
  const known = new Map(models().map((status) => [status.name, status] as const));
  const all = (await catalog.list()).flatMap((model) => {
    const status = known.get(model.name);
    return status === undefined ? [] : [{ model, status }];
  });
  return Promise.all(all.map(async (one) => ({ ...one, facts: await factsOf(one.status.file) })));
}

function tagsRoute(app: FastifyInstance, parts: ServerParts, factsOf: FactsOf): void {
  const schema = {
    operationId: "ollamaTags",
    summary: "The models, as Ollama's API lists them",
    tags: ["ollama"],
    querystring: NoQuery,
    response: { 200: OllamaTags },
  };
  app.get("/tags", { schema }, async () => ({
    models: (await shownModels(parts, factsOf)).map((one) => ({
      ...listed(one),
      size: one.model.sizeBytes ?? BYTES_UNKNOWN,
      modified_at: isoTime(one.status.since),
    })),
  }));
}

function runningRoute(app: FastifyInstance, parts: ServerParts, factsOf: FactsOf): void {
  const schema = {
    operationId: "ollamaPs",
    summary: "The models that are loaded, as Ollama's API lists them",
    tags: ["ollama"],
    querystring: NoQuery,
    response: { 200: OllamaRunning },
  };
  app.get("/ps", { schema }, async () => {
    const cards = new Set(parts.gpus().flatMap((gpu) => (deviceTraits(gpu).hasCards ? [gpu.id] : [])));
    const all = await shownModels(parts, factsOf);
    return { models: all.flatMap((one) => runningOf(one, cards)) };
  });
}

/** @param cards the ids of GPUs that have memory of their own */
function runningOf(one: Shown, cards: ReadonlySet<number>): OllamaRunning["models"] {
  const { keepAlive, instances, sizeBytes } = one.model;
  const loaded = instances.filter(({ state }) => state === "ready");
  if (loaded.length === 0) return [];
  const bytes = (on: typeof loaded): number => on.reduce((sum, { memoryBytes }) => sum + (memoryBytes ?? 0), 0);
  const used = Math.max(...loaded.map(({ lastUsedAt }) => lastUsedAt ?? 0));
  const { context } = one.status;
  return [
    {
      ...listed(one),
      size: bytes(loaded) || (sizeBytes ?? BYTES_UNKNOWN),
      expires_at: keepAlive === null ? NEVER : isoTime(used + keepAlive * 1000),
      size_vram: bytes(loaded.filter(({ gpuId }) => cards.has(gpuId))),
      ...(context !== null && { context_length: context }),
    },
  ];
}

function showRoute(app: FastifyInstance, parts: ServerParts, factsOf: FactsOf): void {
  const schema = {
    operationId: "ollamaShow",
    summary: "One model, as Ollama's API shows it",
    tags: ["ollama"],
    querystring: NoQuery,
    body: ModelRequest,
    response: { 200: OllamaShow },
    refusals: ["not_found" as const],
  };
  app.post<{ Body: ModelRequest }>(
    "/show",
    { schema, onRequest: reading("Seeing a model") },
    async ({ body: { name, model: asked = name } }) => {
      if (asked === undefined) throw missingModel();
      const model = await parts.catalog.named(nameMeant(asked, parts.models()));
      const status = parts.models().find((one) => one.name === model.name);
      return showOf({ model, facts: await factsOf(status?.file ?? null) }, status);
    },
  );
}

function missingModel(): AltLasError {
  return new AltLasError("invalid_input", "model is missing; it must be the name of a model.", { param: "model" });
}

function showOf(one: Omit<Shown, "status">, status: ModelStatus | undefined): OllamaShow {
  const { licence, capabilities, context } = one.model;
  const { architecture = null, trainContext = null } = one.facts ?? {};
  const length = context ?? trainContext;
  const known = new Set<string>(capabilities ?? []);
  return {
    ...(licence !== null && { license: licence }),
    details: detailsOf(one, status?.file ?? null),
    model_info: {
      ...(architecture !== null && { "general.architecture": architecture }),
      ...(length !== null && { [`${architecture ?? "unknown"}.context_length`]: length }),
    },
    capabilities: [
      ...(known.has("chat") || known.has("completion") ? ["completion"] : []),
      ...["tools", "vision", "embedding"].filter((name) => known.has(name)),
    ],
    ...(status !== undefined && { modified_at: isoTime(status.since) }),
  };
}

function listed(one: Shown) {
  const { name, commit, sizeBytes } = one.model;
  return {
    name: tagged(name),
    model: tagged(name),
    digest: hash("sha256", JSON.stringify([name, commit, sizeBytes])),
    details: detailsOf(one, one.status.file),
  };
}

function detailsOf({ facts }: Pick<Shown, "facts">, file: string | null): OllamaDetails {
  const family = facts?.architecture ?? "";
  return {
    parent_model: "",
    format: file === null ? "" : "gguf",
    family,
    families: family === "" ? [] : [family],
    parameter_size: facts?.sizeLabel ?? "",
    quantization_level: (file === null ? null : quantizationOf(basename(file))) ?? "",
  };
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
