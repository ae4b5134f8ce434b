/** Who is calling. */
import { Type } from "typebox";
import { ROLES } from "../../config/config.ts";
import { oneOf } from "./common.ts";

export const MeAnswer = Type.Object(
  {
    user: Type.String({ description: "`anonymous` where authentication is off." }),
    role: oneOf(ROLES, { description: "admin: may do everything; user: has its own tasks; viewer: sees everything." }),
  },
  { examples: [{ user: "bob", role: "user" }] },
);
