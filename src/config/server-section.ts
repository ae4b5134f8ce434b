/** The section `server`: where and how it listens. */
import { Type } from "../common/type.ts";
import { LONGEST_SECONDS, section } from "./section.ts";

export const SERVER = section("Where and how the server listens.", {
  host: Type.Unsafe<string | readonly string[]>({
    type: ["string", "array"],
    items: { type: "string", minLength: 1 },
    minLength: 1,
    default: "127.0.0.1",
    allowed: "an address or a host's name, or a list of them",
    description: "Address to listen on, or a list of them, like [127.0.0.1, 10.0.0.5]; []: none, with server.socket.",
  }),
  port: Type.Integer({
    default: 8642,
    minimum: 0,
    maximum: 65535,
    description: "Port to listen on; 0: any free one.",
  }),
  socket: Type.Optional(
    Type.String({
      minLength: 1,
      description: "Path of a Unix socket to listen on, too, for a proxy on the same machine; without TLS.",
    }),
  ),
  socket_mode: Type.String({
    default: "0660",
    pattern: "^0?[0-7]{3}$",
    allowed: 'a mode in octal digits between quotes, like "0660"',
    description: "Mode of its file: who may write to it may connect.",
  }),
  keep_alive_timeout: Type.Number({
    default: 75,
    minimum: 1,
    maximum: 86_400,
    description: "Seconds that a connection may be idle between two requests; longer than a proxy in front keeps it.",
  }),
  tls: section("HTTPS, when both are set.", {
    cert: Type.Optional(Type.String({ minLength: 1, description: "Path of the certificate chain, a PEM file." })),
    key: Type.Optional(Type.String({ minLength: 1, description: "Path of the private key, a PEM file." })),
    client_ca: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "Path of a PEM file with certificate authorities. Every client must show a certificate that one of them has signed, beside its credentials. null: none is asked for.",
      }),
    ),
    hsts: Type.Integer({
      default: 15_552_000,
      minimum: 0,
      maximum: LONGEST_SECONDS,
      description:
        "Seconds for which browsers are told to use nothing but HTTPS for this host, whatever the port; 0: nothing is said.",
    }),
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
