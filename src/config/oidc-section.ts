/** The section of the schema about single sign-on. */
import { Type } from "../common/type.ts";
import { ROLES } from "./accounts.ts";
import { NonEmpty, section } from "./section.ts";

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
