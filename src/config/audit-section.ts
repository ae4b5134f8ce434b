/** The section of the schema about the audit log. */
import { Type } from "../common/type.ts";
import { LONGEST_SECONDS, section } from "./section.ts";

export const AUDIT = section("Who did what to what; see docs/audit.md.", {
  enabled: Type.Boolean({ default: true, description: "Whether it is written; rows that are there can be read." }),
  retention: Type.Number({
    default: 7_776_000,
    minimum: 0,
    maximum: LONGEST_SECONDS,
    description: "Seconds that a row is kept; the default is 90 days. 0: for ever.",
  }),
});
