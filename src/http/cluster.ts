/** `GET /cluster`: servers, machines and the database, and what is wrong with them. And who is let in, or locked out. */
import type { FastifyInstance } from "fastify";
import type { ClusterStatus, MachineStatus, ServerStatus } from "../cluster/status.ts";
import { isoTime } from "../common/clock.ts";
import { AltLasError } from "../errors.ts";
import { administration } from "./access.ts";
import { noteForAudit } from "./auditing.ts";
import { ClusterAnswer, MachineParams, RevokeAnswer, TokenAnswer, TokenRequest } from "./schemas/cluster.ts";
import { EmptyRequest, NoQuery } from "./schemas/common.ts";
import type { ServerParts } from "./server-parts.ts";
import { ignoreTypeOfNothing } from "./validate.ts";

export function clusterRoute(app: FastifyInstance, { cluster }: ServerParts): void {
  const schema = {
    operationId: "getCluster",
    summary: "The servers and machines of the cluster, who leads, and how far each is behind",
    description: "A 404 where `cluster.nats` is not set. Needs the role admin.",
    tags: ["gpus"],
    querystring: NoQuery,
    response: { 200: ClusterAnswer },
    refusals: ["forbidden" as const, "not_found" as const],
  };
  app.get("/cluster", { schema, onRequest: administration("Seeing the cluster") }, async () => {
    if (cluster === undefined) throw new AltLasError("not_found", ALONE);
    return viewOf(await cluster.status());
  });
  tokenRoute(app, cluster);
  revokeRoute(app, cluster);
}

function tokenRoute(app: FastifyInstance, cluster: ServerParts["cluster"]): void {
  const schema = {
    operationId: "makeClusterToken",
    summary: "Make a token with which one machine may join the cluster, within an hour",
    description: "A 409 where `cluster.signing_key` is not set. Needs the role admin.",
    tags: ["gpus"],
    querystring: NoQuery,
    body: TokenRequest,
    response: { 201: TokenAnswer },
    refusals: ["forbidden" as const, "not_found" as const, "conflict" as const],
  };
  const onRequest = [administration("Letting machines in"), ignoreTypeOfNothing];
  const options = { schema, config: { audit: "machine.invite" as const }, onRequest };
  app.post<{ Body: TokenRequest }>("/cluster/tokens", options, async (request, reply) => {
    if (cluster === undefined) throw new AltLasError("not_found", ALONE);
    const { machine } = request.body;
    if (machine !== undefined) noteForAudit(request, { target: machine });
    const { nats, token, expiresAt } = await cluster.invite(machine);
    return reply.code(201).send({ join: `${nats}#${token}`, expires_at: isoTime(expiresAt) });
  });
}

function revokeRoute(app: FastifyInstance, cluster: ServerParts["cluster"]): void {
  const schema = {
    operationId: "revokeMachine",
    summary: "Lock a machine out of the cluster",
    description:
      "Its credentials count no more, its agent is told to end, and its tasks are tried elsewhere. A new token for its name lets it in again. Asking again is no mistake. A 409 where `cluster.operator_key` is not set. Needs the role admin.",
    tags: ["gpus"],
    params: MachineParams,
    querystring: NoQuery,
    body: EmptyRequest,
    response: { 200: RevokeAnswer },
    refusals: ["forbidden" as const, "not_found" as const, "conflict" as const],
  };
  const onRequest = [administration("Locking machines out"), ignoreTypeOfNothing];
  const options = { schema, config: { audit: "machine.revoke" as const }, onRequest };
  app.post<{ Params: MachineParams }>("/cluster/machines/:machine/revoke", options, async (request, reply) => {
    if (cluster === undefined) throw new AltLasError("not_found", ALONE);
    const { machine } = request.params;
    noteForAudit(request, { target: machine });
    const { credentials } = await cluster.lockOut(machine, request.caller.name);
    return reply.send({ machine, credentials });
  });
}

const ALONE = "This server is no part of a cluster: cluster.nats is not set.";

function viewOf({ id, epoch, nats, servers, machines, database, warnings }: ClusterStatus): ClusterAnswer {
  return {
    cluster: id,
    epoch,
    nats: {
      at: nats.at,
      connected: nats.isUp,
      ...(nats.knowsLockouts !== undefined && { knows_lockouts: nats.knowsLockouts }),
    },
    servers: servers.map(serverView),
    machines: machines.map(machineView),
    database: database && {
      at: database.at,
      standbys: database.standbys.map(({ name, state, isSynchronous, lagBytes, lagSeconds }) => {
        return { name, state, synchronous: isSynchronous, lag_bytes: lagBytes, lag_seconds: lagSeconds };
      }),
    },
    warnings: [...warnings],
  };
}

function serverView({ heartbeatAge, ...server }: ServerStatus) {
  return { ...server, ...(heartbeatAge !== undefined && { heartbeat_age: heartbeatAge }) };
}

function machineView({ name, gone, lockedOut, gpus, running, protocol, heartbeatAge, ...rest }: MachineStatus) {
  return {
    name,
    status: gone === null ? ("present" as const) : ("gone" as const),
    reason: gone,
    locked_out_at: lockedOut === null ? null : isoTime(lockedOut),
    gpus,
    running,
    protocol,
    heartbeat_age: heartbeatAge,
    unacknowledged: rest.unacknowledged,
    clock_ahead: rest.clockAhead,
  };
}
