/** The section of the schema about single sign-on. */
import { Type } from "../common/type.ts";
import { ROLES } from "./accounts.ts";
import { LONGEST_SECONDS, NonEmpty, section } from "./section.ts";

/** Signatures by a private key. With a shared secret (HS256) everybody who can check a token could make one. */
const SIGNATURES = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA".split(" ");

const values = (role: string) =>
  Type.Array(NonEmpty, { default: [], description: `Values of the claim that give the role ${role}.` });

const CLAIMS = section(
  "The claims of a token that say who its user is: a name, or the way to one inside others, like realm_access.roles.",
  {
    user: Type.String({
      minLength: 1,
      default: "sub",
      description: "The user's name. It must be one that its owner cannot change, and that nobody else can get.",
    }),
    team: Type.Optional(
      Type.String({ minLength: 1, description: "The user's team; a token without it is of a user in none." }),
    ),
    role: Type.Optional(
      Type.String({ minLength: 1, description: "A text or a list of texts, of which roles says what they mean." }),
    ),
  },
);

const MEANINGS = section("What the values of the claim for the role mean. Of several roles the first one counts.", {
  admin: values("admin"),
  user: values("user"),
  viewer: values("viewer"),
});

export const OIDC = section("Single sign-on by OpenID Connect, when issuer is set; see docs/sign-on.md.", {
  issuer: Type.Optional(
    Type.String({
      minLength: 1,
      description: "The issuer's address, as its tokens have it, like https://login.example.com/realms/main.",
    }),
  ),
  audience: Type.Optional(
    Type.String({
      minLength: 1,
      description: "The audience (aud) that a token must have to be taken in the place of an API key; null: none is.",
    }),
  ),
  client_id: Type.Optional(
    Type.String({
      minLength: 1,
      description: "The issuer's name for the dashboard, at which people may then sign in there; null: they may not.",
    }),
  ),
  client_secret: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description: "The secret of that client, like ${file:/run/secrets/oidc}; null: it has none.",
    }),
  ),
  name: Type.String({
    default: "single sign-on",
    minLength: 1,
    maxLength: 60,
    description: 'What the dashboard calls the issuer: "Sign in with …".',
  }),
  scopes: Type.Array(NonEmpty, {
    default: ["profile"],
    description: "Scopes that a sign-in asks for, beside openid, so that the ID token has the claims below.",
  }),
  redirect_url: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "Where the issuer sends browsers back to, as it knows it: the dashboard's address and auth/callback. null: as the browser has called the server.",
    }),
  ),
  session: section("Sign-ins of the dashboard.", {
    idle_timeout: Type.Number({
      default: 3600,
      minimum: 60,
      maximum: LONGEST_SECONDS,
      description: "Seconds without a request after which one ends.",
    }),
    lifetime: Type.Number({
      default: 43_200,
      minimum: 60,
      maximum: LONGEST_SECONDS,
      description: "Seconds after which one ends in any case.",
    }),
  }),
  claims: CLAIMS,
  roles: MEANINGS,
  default_role: Type.Optional(
    Type.Enum([...ROLES], { description: "The role of users whom the claim gives none; null: they are refused." }),
  ),
  link_users: Type.Boolean({
    default: false,
    description:
      "Whether a token's user that has the name of one of this server's own users is that user, with the role of that one. false: its tokens are refused.",
  }),
  algorithms: Type.Array(Type.Enum([...SIGNATURES]), {
    default: ["RS256", "PS256", "ES256", "EdDSA"],
    minItems: 1,
    uniqueItems: true,
    description: `Signatures that are taken, of ${SIGNATURES.join(", ")}.`,
  }),
  clock_tolerance: Type.Number({
    default: 30,
    minimum: 0,
    maximum: 600,
    description: "Seconds by which the clocks of the issuer and of this server may differ.",
  }),
});
