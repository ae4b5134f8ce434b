/** `GET /cluster`, `POST /cluster/tokens`, `POST /cluster/machines/<machine>/revoke`. */
import { Type, type Static } from "../../common/type.ts";
import { closed, orNull, Time } from "./common.ts";

const Machine = Type.Object({
  name: Type.String(),
  status: Type.Enum(["present", "gone"], { type: "string" }),
  reason: orNull<string>("string", { description: "Why it is gone." }),
  locked_out_at: orNull<string>("string", {
    format: "date-time",
    description: "When an admin has locked it out; null: none has.",
  }),
  gpus: Type.Integer(),
  running: Type.Integer({ description: "Tasks that run there." }),
  protocol: Type.Integer({ description: "The version of the messages that its agent speaks." }),
  heartbeat_age: orNull<number>("number", {
    description: "Seconds since its last sign of life, in steps of half a second; null: it is gone.",
  }),
  unacknowledged: Type.Integer({ description: "Commands that its agent has not obeyed yet, as far as is known." }),
  clock_ahead: orNull<number>("number", {
    description: "Seconds by which its clock is ahead of the leader's; null: it has not said.",
  }),
});

const Standby = Type.Object({
  name: orNull<string>("string", { description: "null: the role in `store.url` may not see it." }),
  state: orNull<string>("string"),
  synchronous: Type.Boolean({ description: "Whether commits wait for it." }),
  lag_bytes: orNull<number>("integer"),
  lag_seconds: orNull<number>("number"),
});

export const ClusterAnswer = Type.Object({
  cluster: Type.String({ description: "Its id." }),
  epoch: Type.Integer({ description: "A number that is higher with each server that begins to lead." }),
  nats: Type.Object({
    at: Type.String({ description: "Without credentials; several have commas between them." }),
    connected: Type.Boolean(),
    knows_lockouts: Type.Optional(
      Type.Boolean({
        description:
          "Whether its servers refuse the credentials of machines that are locked out; absent: this server has no `cluster.operator_key`.",
      }),
    ),
  }),
  servers: Type.Array(
    Type.Object({
      name: Type.String({ description: "Its machine." }),
      version: Type.String(),
      leads: Type.Boolean(),
      address: Type.Optional(Type.String({ description: "Where the other servers reach it, if there may be any." })),
      heartbeat_age: Type.Optional(Type.Number({ description: "Seconds since its last sign of life, likewise." })),
    }),
  ),
  machines: Type.Array(Machine, { description: "By name: those that have told something since the server's start." }),
  database: Type.Unsafe<{ at: string; standbys: Static<typeof Standby>[] } | null>({
    ...Type.Object({ at: Type.String({ description: "Without a login." }), standbys: Type.Array(Standby) }),
    type: ["object", "null"],
    description: "The PostgreSQL server; null: tasks are in a file.",
  }),
  warnings: Type.Array(Type.String({ description: "A sentence a person can act on." })),
});
export type ClusterAnswer = Static<typeof ClusterAnswer>;

const MACHINE = {
  pattern: "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
  allowed: "1 to 63 letters, digits, _ and -, a letter or digit first",
};

export const TokenRequest = closed(
  {
    machine: Type.Optional(
      Type.String({
        ...MACHINE,
        description: "For whom it is, if the cluster may know that machine; none: for any that is new.",
      }),
    ),
  },
  { title: "ClusterTokenRequest", default: {}, examples: [{ machine: "one" }] },
);
export type TokenRequest = Static<typeof TokenRequest>;

export const TokenAnswer = Type.Object({
  join: Type.String({
    description: "For `--join` of `alt-las agent`: the address of the NATS server, `#` and the token.",
  }),
  expires_at: Time("Until then it lets one machine in."),
});
export type TokenAnswer = Static<typeof TokenAnswer>;

export const MachineParams = Type.Object({ machine: Type.String() });
export type MachineParams = Static<typeof MachineParams>;

export const RevokeAnswer = Type.Object({
  machine: Type.String(),
  credentials: Type.Enum(["revoked", "pending", "unknown"], {
    type: "string",
    description:
      "`pending`: the NATS servers cannot be reached, and are told as soon as they can; `unknown`: they came by no token, and only the NATS servers' own configuration ends them.",
  }),
});
export type RevokeAnswer = Static<typeof RevokeAnswer>;
