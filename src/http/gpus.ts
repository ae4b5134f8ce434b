/** `GET /gpus`, `GET /gpus/<id>`, and taking a GPU out of service and back. */
import type { FastifyInstance } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import type { GpuStatus } from "../gpu/status.ts";
import { shown } from "../common/validation.ts";
import { administration, maySee } from "./access.ts";
import { clusterRoute } from "./cluster.ts";
import type { ServerParts } from "./server-parts.ts";
import { maySeeInside, PUBLIC_NOTE, publicGpu } from "./public-words.ts";
import { EmptyRequest, NoQuery } from "./schemas/common.ts";
import { type GpuDetails, DrainRequest, GpuDetailsRef, GpuParams, GpusAnswer } from "./schemas/gpus.ts";
import { ignoreTypeOfNothing } from "./validate.ts";
import { detailsOfGpu, viewOfGpu } from "./views.ts";

/** Of a path: as text, because what is no number names no GPU, which is a 404. */
interface Params {
  gpu_id: string;
}

const ABOUT_ONE = { tags: ["gpus"], params: GpuParams, querystring: NoQuery, response: { 200: GpuDetailsRef } };

/** Before the body is read: who may do this, and that it may be missing. */
const onRequest = [administration("Draining and resuming a GPU"), ignoreTypeOfNothing];

/** The resources that run tasks: GPUs, and the machines that they are in. */
export function gpusRoute(app: FastifyInstance, parts: ServerParts): void {
  const { gpus, driverNotes = [] } = parts;
  clusterRoute(app, parts);
  const schema = {
    operationId: "listGpus",
    summary: "All GPUs, also those that cannot be used, with why",
    tags: ["gpus"],
    querystring: NoQuery,
    response: { 200: GpusAnswer },
  };
  app.get("/gpus", { schema }, ({ caller }) => {
    const inside = maySeeInside(caller);
    return {
      gpus: gpus().map((gpu) => viewOfGpu(inside ? gpu : publicGpu(gpu))),
      ...(driverNotes.length > 0 && { notes: inside ? [...driverNotes] : [PUBLIC_NOTE] }),
    };
  });
}

export function gpuRoute(app: FastifyInstance, parts: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "getGpu",
    summary: "Everything known about one GPU, with its running tasks and latest events",
  };
  app.get<{ Params: Params }>("/gpus/:gpu_id", { schema }, ({ caller, params }) =>
    detailsFor(caller, parts, gpuNamed(parts, params)),
  );
}

export function drainRoute(app: FastifyInstance, parts: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "drainGpu",
    summary: "Take a GPU out of service",
    description:
      "It gets no new tasks, and is `drained` when those that run there have ended, until it is resumed. The body may be left out. For a GPU that is out of service already, nothing is wrong with asking again. Needs the role admin.",
    body: DrainRequest,
  };
  app.post<{ Params: Params; Body: DrainRequest }>(
    "/gpus/:gpu_id/drain",
    { schema, config: { audit: "gpu.drain" }, onRequest },
    (request) => {
      const { caller, params, body } = request;
      const { id } = gpuNamed(parts, params);
      // Adding 0 makes 0 of -0.
      const deadlineSeconds = body.deadline_seconds === undefined ? null : body.deadline_seconds + 0;
      parts.drainGpu(id, { deadlineSeconds, by: caller.name });
      return detailsFor(caller, parts, gpuNamed(parts, params));
    },
  );
}

export function resumeRoute(app: FastifyInstance, parts: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "resumeGpu",
    summary: "Bring a GPU back into service",
    description:
      "Ends a drain, and has a GPU that is `faulted` or `unfit` tried again at once. The body may be left out. For a GPU that is in service, nothing changes. Needs the role admin.",
    body: EmptyRequest,
  };
  app.post<{ Params: Params }>(
    "/gpus/:gpu_id/resume",
    { schema, config: { audit: "gpu.resume" }, onRequest },
    ({ caller, params }) => {
      parts.resumeGpu(gpuNamed(parts, params).id, caller.name);
      return detailsFor(caller, parts, gpuNamed(parts, params));
    },
  );
}

function detailsFor(caller: Caller, { runningOn }: ServerParts, gpu: GpuStatus): GpuDetails {
  const visible = runningOn(gpu.id).filter((task) => maySee(caller, task));
  return detailsOfGpu(maySeeInside(caller) ? gpu : publicGpu(gpu), visible);
}

/** @throws {AltLasError} `not_found`, with the ids that exist */
function gpuNamed({ gpus }: ServerParts, { gpu_id }: Params): GpuStatus {
  const all = gpus();
  const gpu = all.find(({ id }) => String(id) === gpu_id);
  if (gpu !== undefined) return gpu;
  const known = all.length === 0 ? "there are none" : `the GPUs are ${all.map(({ id }) => id).join(", ")}`;
  throw new AltLasError("not_found", `There is no GPU ${shown(gpu_id)}; ${known}.`);
}
