/** Warnings of a cluster for its operator. */
import { apart, MOST_APART } from "./strangers.ts";
import type { ClusterStatus } from "./status.ts";
import { PROTOCOL } from "./messages.ts";

/** Seconds of silence after which a server is told of: they tell of themselves each second. */
const SILENT = 10;
/** Commands that wait for an agent, from which on it is told. */
const MANY_WAIT = 1000;

export function* warningsOf({ nats, servers, machines, database }: Omit<ClusterStatus, "warnings">): Generator<string> {
  if (!nats.isUp) yield "There is no connection to NATS (cluster.nats).";
  if (nats.knowsLockouts === false)
    yield "The NATS servers have not been told yet whom to lock out; it is tried again every second.";
  for (const { name, address, heartbeatAge = 0 } of servers)
    if (heartbeatAge > SILENT)
      yield `The server ${name} at ${address} has given no sign of life for ${Math.round(heartbeatAge)} s.`;
  for (const { name, gone, lockedOut, protocol, clockAhead, unacknowledged } of machines) {
    if (lockedOut !== null) continue;
    if (gone !== null) yield gone;
    if (protocol < PROTOCOL) yield `The agent of machine ${name} is of the version before: upgrade it.`;
    if (clockAhead !== null && Math.abs(clockAhead) * 1000 > MOST_APART)
      yield apart(`machine ${name}`, Math.round(clockAhead));
    if (unacknowledged > MANY_WAIT)
      yield `Machine ${name} has ${unacknowledged} commands to obey: its network or its agent is slow.`;
  }
  if (database === null) return;
  const loose = database.standbys.filter(({ isSynchronous }) => !isSynchronous);
  if (loose.length === 0) return;
  const names = loose.map(({ name }) => name ?? "one that this role may not see").join(", ");
  yield `No commit at ${database.at} waits for its standby ${names}: a failover of PostgreSQL to it may lose answered tasks. Name it in synchronous_standby_names.`;
}
