/** The section `server`: where and how it listens. */
import { Type } from "../common/type.ts";
import { section } from "./section.ts";

export const SERVER = section("Where and how the server listens.", {
  host: Type.String({ default: "127.0.0.1", minLength: 1, description: "Address to listen on." }),
  port: Type.Integer({
    default: 8642,
    minimum: 0,
    maximum: 65535,
    description: "Port to listen on; 0: any free one.",
  }),
  tls: section("HTTPS, when both are set.", {
    cert: Type.Optional(Type.String({ minLength: 1, description: "Path of the certificate chain, a PEM file." })),
    key: Type.Optional(Type.String({ minLength: 1, description: "Path of the private key, a PEM file." })),
  }),
  drain_timeout: Type.Number({
    default: 30,
    minimum: 0,
    maximum: 86_400,
    description: "Seconds a stop waits for running tasks.",
  }),
  base_path: Type.String({
    default: "",
    pattern: "^(/[A-Za-z0-9._~-]+)*/?$",
    maxLength: 200,
    allowed: "a path like /alt-las, of letters, digits and . _ ~ -",
    description:
      "Path before all others, like /alt-las, where a proxy serves the server below one; see docs/proxies.md.",
  }),
  trust_proxy: Type.Unsafe<boolean | readonly string[]>({
    type: ["boolean", "array"],
    items: { type: "string" },
    default: false,
    allowed: "true, false or a list of addresses and networks, like [127.0.0.1, 10.0.0.0/8]",
    description: "Proxies whose X-Forwarded-* headers are believed, like [127.0.0.1, 10.0.0.0/8]; true: every peer.",
  }),
  cors_origins: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    description: 'Origins of other web pages that may call the API, like "https://app.example.com".',
  }),
});
