/** `/users` and `/keys`. */
import { Type, type Static } from "../../common/type.ts";
import { KeySchema, ROLES, type Scope, SCOPES, UserName, UserSchema } from "../../config/config.ts";
import { closed, oneOf, orNull, shared, TimeOrNull } from "./common.ts";

const { name: GivenUser } = UserSchema.properties;
const { name: KeyName, scopes, models, expires_at } = KeySchema.properties;

const Password = Type.String({
  minLength: 1,
  secret: true,
  description: "8 to 1,024 characters, and none of the common ones. The user may log in with it by HTTP Basic.",
});
const Role = oneOf(ROLES, {
  description: "admin: may do everything; user: has its own tasks; viewer: sees everything, or what is its team's.",
});
const Team = Type.Optional(
  Type.String({
    pattern: `^$|${UserName.pattern}`,
    allowed: `${UserName.allowed}, or ""`,
    description: 'The team that it is in. "": none.',
  }),
);

const Again = Type.Optional(
  Type.Boolean({ description: "Whether it is a user that was removed, and has again what this one has left." }),
);

/** Of a path. */
export const Named = Type.Object({ name: Type.String() });
export type Named = Static<typeof Named>;

export const NewUser = closed(
  { name: GivenUser, role: Role, team: Team, password: Type.Optional(Password), again: Again },
  { title: "NewUser", examples: [{ name: "bob", role: "user", team: "research" }] },
);
export type NewUser = Static<typeof NewUser>;

export const UserChange = closed(
  { role: Type.Optional(Role), team: Team, password: Type.Optional(Password) },
  { title: "UserChange", examples: [{ role: "viewer" }] },
);
export type UserChange = Static<typeof UserChange>;

export const UserView = Type.Object(
  {
    name: Type.String(),
    role: Role,
    team: orNull<string>("string", { description: "null: it is in none." }),
    has_password: Type.Boolean({ description: "Whether it may log in by HTTP Basic." }),
    keys: Type.Integer({ description: "How many keys it has." }),
    created_at: TimeOrNull("null: it is in the configuration, where alone it can be changed."),
  },
  {
    $id: "User",
    examples: [
      {
        name: "bob",
        role: "user",
        team: "research",
        has_password: false,
        keys: 1,
        created_at: "2025-08-10T12:34:56.789Z",
      },
    ],
  },
);
export type UserView = Static<typeof UserView>;
export const UserRef = shared(UserView);
export const UsersAnswer = Type.Object({
  users: Type.Array(UserRef, { description: "Those of the configuration first." }),
});

export const NewKeyRequest = closed(
  { user: GivenUser, name: Type.Optional(KeyName), scopes, models, expires_at },
  { title: "NewKey", examples: [{ user: "bob", name: "nightly", scopes: ["submit", "read"] }] },
);
export type NewKeyRequest = Static<typeof NewKeyRequest>;

export const RotateRequest = closed(
  {
    overlap_seconds: Type.Integer({
      default: 86_400,
      minimum: 0,
      maximum: 7_776_000,
      description: "How long the key before goes on, and those before that at most. 0: they end now.",
    }),
  },
  { title: "RotateRequest", default: {}, examples: [{ overlap_seconds: 3600 }] },
);
export type RotateRequest = Static<typeof RotateRequest>;

const keyFields = {
  name: Type.String(),
  user: Type.String({ description: "Whose tasks it makes." }),
  scopes: Type.Unsafe<readonly Scope[] | null>({
    type: ["array", "null"],
    items: { type: "string", enum: [...SCOPES] },
    description: "What it is held to. null: all that the role of its user may.",
  }),
  models: Type.Unsafe<readonly string[] | null>({
    type: ["array", "null"],
    items: { type: "string" },
    description: "The models that its tasks may ask for. null: all.",
  }),
  expires_at: TimeOrNull("When it ends. null: never."),
  previous_until: TimeOrNull("How long the key before the last rotation goes on. null: there is none."),
  last_used_at: TimeOrNull("When it was used last, up to a minute ago. null: not known."),
  created_at: TimeOrNull("null: it is in the configuration, where alone it can be changed."),
};
const KEY_EXAMPLE = {
  name: "nightly",
  user: "bob",
  scopes: ["submit", "read"],
  models: null,
  expires_at: null,
  previous_until: null,
  last_used_at: "2025-08-10T12:34:56.789Z",
  created_at: "2025-08-10T12:34:56.789Z",
};
export const KeyView = Type.Object(keyFields, { $id: "Key", examples: [KEY_EXAMPLE] });
export type KeyView = Static<typeof KeyView>;
export const KeyRef = shared(KeyView);
export const KeysAnswer = Type.Object({
  keys: Type.Array(KeyRef, { description: "Those of the configuration first." }),
});

export const MadeKey = Type.Object(
  { ...keyFields, key: Type.String({ description: "The key itself. It is shown only this once." }) },
  { $id: "MadeKey", examples: [{ ...KEY_EXAMPLE, last_used_at: null, key: "altlas_XnvB" }] },
);
export type MadeKey = Static<typeof MadeKey>;
export const MadeKeyRef = shared(MadeKey);

export const ForgottenUser = Type.Object({
  name: Type.String(),
  canceled: Type.Integer({ description: "Tasks that had not ended, and lines of files." }),
  tasks: Type.Integer(),
  batches: Type.Integer({
    description: "Batches of files that had no task any more; the others went with their tasks.",
  }),
  files: Type.Integer({ description: "Files that were uploaded." }),
  answers: Type.Integer({ description: "Remembered answers to requests with an Idempotency-Key." }),
  usage_rows: Type.Integer({ description: "Sums of usage that have no user any more." }),
});

export const RemovedUser = Type.Object({
  name: Type.String(),
  keys: Type.Integer({ description: "How many keys went with it. Its tasks stay." }),
});
