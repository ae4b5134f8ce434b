/** The caller of a request. */
import { Type } from "../../common/type.ts";
import { ROLES, type Scope, SCOPES } from "../../config/config.ts";
import { BudgetView } from "./callers.ts";
import { oneOf, orNull, TimeOrNull } from "./common.ts";

export const MeAnswer = Type.Object(
  {
    user: Type.String({ description: "`anonymous` where authentication is off." }),
    role: oneOf(ROLES, {
      description: "admin: may do everything; user: has its own tasks; viewer: sees everything, or what is its team's.",
    }),
    team: orNull<string>("string", { description: "null: it is in none." }),
    key: orNull<string>("string", { description: "The name of the API key. null: there is none." }),
    scopes: Type.Unsafe<Scope[] | null>({
      type: ["array", "null"],
      items: { type: "string", enum: [...SCOPES] },
      description: "What the key is held to. null: all that the role may.",
    }),
    models: Type.Unsafe<readonly string[] | null>({
      type: ["array", "null"],
      items: { type: "string" },
      description: "The models that its tasks may ask for. null: all.",
    }),
    expires_at: TimeOrNull("When the key or the token ends. null: never."),
    signed_on_by: orNull<"token" | "session">("string", {
      enum: ["token", "session", null],
      description:
        "token: a token of the issuer of auth.oidc; session: a sign-in of the dashboard there. null: neither.",
    }),
    budgets: Type.Array(BudgetView, { description: "Those of the user, its team and its key." }),
  },
  {
    examples: [
      {
        user: "bob",
        role: "user",
        team: "research",
        key: "bob-1",
        scopes: null,
        models: null,
        expires_at: null,
        signed_on_by: null,
        budgets: [],
      },
    ],
  },
);
