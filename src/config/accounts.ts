/** Users, their keys, and how much each may have. */
import { type Static, type TSchema, Type } from "../common/type.ts";
import { ALT_LAS } from "../common/paste.ts";
import { TEXTS } from "../texts.ts";
import { liveSection, LONGEST_SECONDS, section } from "./section.ts";

/** The allowed names of users. */
export const UserName = {
  pattern: "^[\\p{L}\\p{N}][\\p{L}\\p{M}\\p{N}._@-]{0,63}$",
  allowed: "1 to 64 letters, digits, '.', '_', '@' or '-', of which the first is a letter or a digit",
};
const Name = Type.String(UserName);
export const ROLES = ["admin", "user", "viewer"] as const;
export const RoleSchema = Type.Enum([...ROLES]);
export type Role = (typeof ROLES)[number];

/** Scopes that a key may be held to. Each route asks for one of them (src/http/access.ts). */
export const SCOPES = ["submit", "read", "admin", "metrics"] as const;
export type Scope = (typeof SCOPES)[number];

/** Limits of a key within what its user may do, and in time. */
const keyLimits = {
  expires_at: Type.Optional(
    Type.String({
      pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(?::\\d\\d(?:\\.\\d{1,9})?)?(?:Z|[+-]\\d\\d:\\d\\d)$",
      allowed: 'a time with its zone, like "2027-01-31T00:00:00Z"',
      description: "When it ends. Default: never.",
    }),
  ),
  scopes: Type.Optional(
    Type.Array(Type.Enum([...SCOPES]), {
      minItems: 1,
      uniqueItems: true,
      description:
        "submit: submit, cancel and remove tasks; read: read tasks, GPUs and the rest; admin: change the server; metrics: read /metrics. Each also needs the role of the user. Default: all that the role may.",
    }),
  ),
  models: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      uniqueItems: true,
      description: "The models that its tasks may ask for, by name or alias. Default: all.",
    }),
  ),
};

export const UserSchema = Type.Object(
  {
    name: Name,
    role: RoleSchema,
    team: Type.Optional(Name),
    password_hash: Type.Optional(
      Type.String({
        pattern: "^scrypt\\$\\d+\\$\\d+\\$\\d+\\$[A-Za-z0-9_-]+\\$[A-Za-z0-9_-]+$",
        allowed: `a hash as "${ALT_LAS} users hash" prints it`,
        secret: true,
      }),
    ),
  },
  { additionalProperties: false },
);

export const KeySchema = Type.Object(
  {
    name: Name,
    user: Name,
    sha256: Type.String({ pattern: "^[0-9a-f]{64}$", allowed: "64 hexadecimal digits in lower case", secret: true }),
    ...keyLimits,
  },
  { additionalProperties: false },
);

const Weight = { minimum: 0.001, maximum: 1000 };

/** How much one caller may have. */
const callerLimits = {
  max_queued: Type.Optional(
    Type.Union([Type.Integer({ minimum: 0 }), Type.Literal("unlimited")], {
      allowed: 'a whole number from 0, or "unlimited"',
      description:
        "Tasks that may wait; over it: 429. null: the whole queue while there is one user, else half of max_queue_size. With several users half of max_queue_bytes holds as well. unlimited: the whole queue.",
    }),
  ),
  max_running: Type.Optional(
    Type.Integer({ minimum: 1, description: "Tasks that run at once; more wait, even if slots are free." }),
  ),
  requests_per_minute: Type.Optional(
    Type.Integer({ minimum: 1, description: "Submissions, also refused ones; over it: 429." }),
  ),
  tokens_per_minute: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        "Tokens of prompts and answers, first estimated, then counted; over it: 429. A task that needs more than all of them is accepted when a full minute's worth is free.",
    }),
  ),
};

/** A number that a user may have at most, or any. @param what it is, in words */
function mostOf(what: string, also: { readonly default?: number } = {}) {
  return Type.Optional(
    Type.Union([Type.Integer({ minimum: 0 }), Type.Literal("unlimited")], {
      ...also,
      allowed: 'a whole number from 0, or "unlimited"',
      description: `${what}; over it: 429.`,
    }),
  );
}

/** Limits on what one caller may have stored or open. @param many the default of what nobody has so many of who does no harm */
function holdings(many: { readonly default?: number }) {
  return {
    max_stored_bytes: mostOf("Bytes of the texts of its stored tasks, prompts and answers"),
    max_files: mostOf("Files that it may have uploaded", many),
    max_uploaded_bytes: mostOf("Bytes of its uploaded files, beside limits.max_stored_file_bytes"),
    max_webhooks: mostOf("Webhooks that may wait to be delivered when a task with one is submitted", many),
    max_connections: Type.Optional(
      Type.Integer({ minimum: 1, description: "Open connections, beside its share of the file descriptors." }),
    ),
    max_open_requests: Type.Optional(
      Type.Integer({ minimum: 1, description: "Open requests, in the place of limits.max_open_requests." }),
    ),
  };
}

/** An amount for a day or a month. @param what it is, in words */
function budgetOf<Amount extends TSchema>(amount: Amount, what: string) {
  return Type.Optional(
    Type.Unsafe<Static<Amount>>({ ...amount, description: `${what}; over it: 429 until it resets.` }),
  );
}

const Amount = Type.Integer({ minimum: 1 });
const AmountOrNone = Type.Union([Amount, Type.Literal("unlimited")], {
  allowed: 'a whole number from 1, or "unlimited"',
});

/** Budgets for a day or a month of the calendar, in UTC. */
function budgetsOf<Of extends TSchema>(amount: Of) {
  return {
    tokens_per_day: budgetOf(amount, "Tokens of prompts and answers in a day of UTC"),
    tokens_per_month: budgetOf(amount, "Tokens in a month"),
    gpu_seconds_per_day: budgetOf(amount, "GPU-seconds in a day"),
    gpu_seconds_per_month: budgetOf(amount, "GPU-seconds in a month"),
  };
}

/** Limits on what the members of a team may have together. */
const teamLimits = {
  max_queued: Type.Optional(
    Type.Integer({ minimum: 0, description: "Tasks of all members that may wait; over it: 429. null: no limit." }),
  ),
  max_running: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: "Tasks of all members that run at once; more wait, and members take turns.",
    }),
  ),
  requests_per_minute: Type.Optional(
    Type.Integer({ minimum: 1, description: "Submissions of all members, also refused ones; over it: 429." }),
  ),
  tokens_per_minute: Type.Optional(
    Type.Integer({ minimum: 1, description: "Tokens of all members, counted as for a user; over it: 429." }),
  ),
  texts: Type.Optional(
    Type.Enum([...TEXTS], {
      description: "As store.texts, for each member; the strictest counts, also beside the member's own.",
    }),
  ),
};

/** How long what is one caller's is kept. */
const callerKeeping = {
  texts: Type.Optional(
    Type.Enum([...TEXTS], {
      description: "As store.texts, for this user; the stricter of the two counts, and a request's store: false.",
    }),
  ),
  retention: Type.Optional(
    Type.Number({
      minimum: 1,
      maximum: LONGEST_SECONDS,
      description: "As tasks.retention, for this user: seconds that its tasks are kept after their ends.",
    }),
  ),
};

export const CallersSection = liveSection(
  "How much of the server each user may have. More keys bring a user no more.",
  {
    defaults: section("Limits of users that are not named below. null: no limit, except for max_queued.", {
      weight: Type.Number({
        ...Weight,
        default: 1,
        description: "Its share of the GPUs beside other users that have tasks waiting.",
      }),
      ...callerLimits,
      ...holdings({ default: 100_000 }),
      ...budgetsOf(AmountOrNone),
    }),
    users: Type.Record(
      Type.String(),
      Type.Object(
        {
          weight: Type.Optional(Type.Number(Weight)),
          ...callerLimits,
          ...holdings({}),
          ...budgetsOf(AmountOrNone),
          ...callerKeeping,
        },
        { additionalProperties: false },
      ),
      {
        default: {},
        description:
          "Limits of single users, like { bob: { weight: 2, max_running: 4 } }; a limit that is left out or null is that of defaults.",
      },
    ),
    teams: Type.Record(
      Type.String(),
      Type.Object({ ...teamLimits, ...budgetsOf(Amount) }, { additionalProperties: false }),
      {
        default: {},
        description:
          "Limits and budgets of teams, like { research: { max_running: 8, gpu_seconds_per_month: 500000 } }; all members share them, beside their own limits. A task counts for the team that its user was in when it submitted it.",
      },
    ),
    keys: Type.Record(Type.String(), Type.Object(budgetsOf(Amount), { additionalProperties: false }), {
      default: {},
      description: "Budgets of single API keys, by their names, beside those of their users.",
    }),
  },
);
