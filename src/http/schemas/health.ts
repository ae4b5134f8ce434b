/** For load balancers and supervisors. */
import { Type, type Static } from "../../common/type.ts";
import { GPU_STATES } from "../../gpu/facts.ts";
import { oneOf } from "./common.ts";
import { writtenAsItIs } from "./long-lists.ts";

// All that many servers are ever asked: what writes answers by their schemas, which is ninety modules, is not loaded for these.
export const LiveAnswer = writtenAsItIs(Type.Object({ status: oneOf(["alive"]) }));
const readiness = {
  status: oneOf(["ready", "not ready"]),
  reason: Type.Optional(
    Type.String({ description: 'Why it is not ready; or, beside "ready", what is wrong all the same.' }),
  ),
  error: Type.Optional(Type.String({ description: "The same as a sentence, as in every answer that is not 200." })),
  code: Type.Optional(Type.String({ description: "not_ready" })),
};
export const ReadyAnswer = writtenAsItIs(Type.Object(readiness));
export type ReadyAnswer = Static<typeof ReadyAnswer>;

export const HealthAnswer = writtenAsItIs(
  Type.Object({
    ...readiness,
    version: Type.String(),
    role: Type.Optional(oneOf(["leader", "standby"])),
    gpus: Type.Object({
      total: Type.Integer(),
      ...Object.fromEntries(GPU_STATES.map((status) => [status, Type.Integer()])),
    }),
  }),
);
export type HealthAnswer = Static<typeof HealthAnswer>;
