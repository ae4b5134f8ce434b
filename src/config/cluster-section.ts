/** The section `cluster` of the configuration. */
import { Type } from "../common/type.ts";
import { section } from "./section.ts";

const NATS_URL = "^(nats|tls|nats\\+tls)://.";

export const CLUSTER = section("Several machines that serve together; see docs/cluster.md.", {
  nats: Type.Optional(
    Type.Unsafe<string | readonly string[]>({
      type: ["string", "array"],
      items: { type: "string", pattern: NATS_URL },
      minItems: 1,
      pattern: NATS_URL,
      allowed: "an address like tls://user:${file:/run/secrets/password}@host:4222, or a list of them",
      secret: true,
      description:
        "Address of a NATS server by which agents (alt-las agent) give the GPUs of their machines to this one, which has none of its own then; a list of those of one NATS cluster: when one dies, the next is used. Beyond this machine it begins with tls://. It is not shown.",
    }),
  ),
  credentials: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "Path of a file of NATS credentials (.creds) for this server or agent, as alt-las cluster init makes one. An agent that has joined with a token needs none.",
    }),
  ),
  signing_key: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "Path of the file with the key of the cluster's NATS account, as alt-las cluster init makes one: with it servers let new machines in that have a token (alt-las cluster token).",
    }),
  ),
  operator_key: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "Path of the file with the keys of the NATS operator, as alt-las cluster init makes one: with it servers lock machines out (alt-las cluster revoke). It needs cluster.signing_key.",
    }),
  ),
  address: Type.Optional(
    Type.String({
      pattern: "^https?://[^/]+/?$",
      allowed: "an address like https://server-1.example.com:8642",
      description:
        "Where the other servers of a cluster reach this one (with store.url and cluster.nats there may be several). Left out: the first address on which it listens, or this machine's name where that is every address.",
    }),
  ),
});
