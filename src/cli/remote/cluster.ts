/** `alt-las cluster`: servers, machines and the database as tables, and what is wrong with them. */
import { jsonText, legible } from "../../common/legible.ts";
import { ALT_LAS, shellWord } from "../../common/paste.ts";
import { faultOfNats, isLoopback, natsUrls } from "../../config/config.ts";
import { AltLasError } from "../../errors.ts";
import type { ClusterAnswer, RevokeAnswer, TokenAnswer } from "../../http/schemas/cluster.ts";
import { said } from "../../words/terminal.ts";
import { wrapped } from "../table.ts";
import { ask, type Remote } from "./client.ts";
import { type Column, fittedTable, type Row } from "./fitted-table.ts";
import type { Look } from "./tasks.ts";

const SERVERS: readonly Column[] = [{ title: "SERVER", isName: true }, { title: "VERSION" }, { title: "LEADS" }];
/** Where there may be several. */
const OF_SEVERAL: readonly Column[] = [...SERVERS, { title: "ADDRESS" }, { title: "HEARTBEAT", spare: 1 }];
const MACHINES: readonly Column[] = [
  { title: "MACHINE", isName: true },
  { title: "STATUS" },
  { title: "GPUS" },
  { title: "RUNNING" },
  { title: "HEARTBEAT" },
  { title: "UNACKNOWLEDGED", spare: 1 },
  { title: "CLOCK", spare: 2 },
];
const STANDBYS: readonly Column[] = [
  { title: "STANDBY", isName: true },
  { title: "STATE" },
  { title: "SYNCHRONOUS" },
  { title: "LAG" },
];

/** @returns the text to print @throws {AltLasError} as `ask` */
export async function clusterCommand(remote: Remote, look: Look & { readonly json: boolean }): Promise<string> {
  const answer = (await ask(remote, "cluster", "machines")) as ClusterAnswer;
  if (look.json) return jsonText(answer, 2);
  const { cluster, epoch, nats, servers, machines, database, warnings } = legible(answer);
  const { columns } = look;
  const parts = [
    said(`Cluster ${cluster}, epoch ${epoch}, over ${nats.at}`) + (nats.connected ? "" : said(" (not connected)")),
    fittedTable(
      servers.some(({ address }) => address !== undefined) ? OF_SEVERAL : SERVERS,
      servers.map(serverRow),
      columns,
    ),
    machines.length === 0 ? said("No machine has joined.") : fittedTable(MACHINES, machines.map(machineRow), columns),
  ];
  if (database !== null && database.standbys.length > 0)
    parts.push(fittedTable(STANDBYS, database.standbys.map(standbyRow), columns));
  else if (database !== null) parts.push(said(`PostgreSQL at ${database.at} has no standby.`));
  return [...parts, ...warnings.map((warning) => wrapped(warning, "", columns))].join("\n\n");
}

function serverRow({ name, version, leads, address, heartbeat_age: age }: ClusterAnswer["servers"][number]): Row {
  const ofSeveral = address === undefined ? [] : [address, age === undefined ? "-" : `${age.toFixed(1)} s`];
  return { cells: [name, version, said(leads ? "yes" : "no"), ...ofSeveral] };
}

function machineRow(machine: ClusterAnswer["machines"][number]): Row {
  const { name, gpus, running, heartbeat_age: age, unacknowledged, clock_ahead: ahead } = machine;
  const status = (machine.locked_out_at ?? null) === null ? machine.status : "locked out";
  const clock = ahead === null ? "-" : `${ahead < 0 ? "" : "+"}${ahead.toFixed(1)} s`;
  return {
    cells: [
      name,
      status,
      `${gpus}`,
      `${running}`,
      age === null ? "-" : `${age.toFixed(1)} s`,
      `${unacknowledged}`,
      clock,
    ],
  };
}

function standbyRow({ name, state, synchronous, lag_bytes: bytes, lag_seconds: seconds }: Standby): Row {
  const behind = bytes === null ? "-" : `${bytes} B${seconds === null ? "" : `, ${seconds.toFixed(1)} s`}`;
  return { cells: [name ?? "-", state ?? "-", said(synchronous ? "yes" : "no"), behind] };
}

type Standby = NonNullable<ClusterAnswer["database"]>["standbys"][number];

/** @returns the text to print */
export async function revokeCommand(remote: Remote, machine: string, json: boolean): Promise<string> {
  const path = `cluster/machines/${encodeURIComponent(machine)}/revoke`;
  const answer = (await ask(remote, path, "credentials", { method: "POST", body: {} })) as RevokeAnswer;
  if (json) return jsonText(answer, 2);
  const { credentials } = answer;
  return credentials === "unknown"
    ? said(UNKNOWN)
    : `${said(`Machine ${machine} is locked out.`)} ${said(credentials === "revoked" ? REVOKED : PENDING)}`;
}

const REVOKED = "The NATS servers refuse its credentials.";
const PENDING = "The NATS servers cannot be told at the moment, and are told as soon as they can be reached.";
const UNKNOWN =
  "The machine is locked out of the cluster, but it came by no token: only the configuration of the NATS servers ends its credentials.";

export interface TokenWish {
  /** Where the new machine finds the NATS server; undefined: where the server does. */
  readonly nats: string | undefined;
  /** Its name; undefined: any that is new. */
  readonly machine: string | undefined;
  readonly json: boolean;
}

export async function tokenCommand(
  remote: Remote,
  { nats, machine, json }: TokenWish,
): Promise<{ readonly text: string; readonly note: string | null }> {
  const fault = nats === undefined ? null : faultOfNats(nats);
  if (fault !== null) throw new AltLasError("bad_config", `--nats ${fault}`);
  const body = machine === undefined ? {} : { machine };
  const answer = (await ask(remote, "cluster/tokens", "join", { method: "POST", body })) as TokenAnswer;
  const [at, token] = answer.join.split("#") as [string, string];
  const join = `${nats ?? at}#${token}`;
  if (json) return { text: jsonText({ ...answer, join }, 2), note: null };
  const isHere = natsUrls(nats ?? at).some((url) => isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, "")));
  const note = `Other machines do not find ${nats ?? at}: --nats URL names the address that they know.`;
  const name = machine === undefined ? "" : ` --name ${machine}`;
  return { text: `${ALT_LAS} agent --join ${shellWord(join)}${name}`, note: isHere ? note : null };
}
