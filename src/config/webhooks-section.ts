/** The section `webhooks`: where messages about tasks may go. */
import { Type } from "../common/type.ts";
import { PLATFORM_ADDRESSES } from "../webhooks/destinations.ts";
import { NonEmpty, section } from "./section.ts";

export const WEBHOOKS = section("Messages to other servers about tasks.", {
  allow_private: Type.Boolean({
    default: false,
    description: "Whether webhook_url may lead to private, loopback and link-local addresses.",
  }),
  allow: Type.Array(NonEmpty, {
    default: [],
    description:
      "Hosts (hooks.example.com, *.example.com), addresses and networks that webhook_url may lead to, and to no others; networks may be private ones. []: any that the other keys let pass.",
  }),
  deny: Type.Array(NonEmpty, {
    default: [...PLATFORM_ADDRESSES],
    description:
      "Hosts, addresses and networks that webhook_url must not lead to, whatever else is said; the default has those of clouds' platforms. A list of your own takes its place.",
  }),
  pause_after: Type.Integer({
    default: 259_200,
    minimum: 0,
    description:
      "Seconds in which none of a user's webhooks has arrived at a server, after which it is paused: at most one an hour is tried, until one arrives. At least a day, as a webhook is tried for one. 0: never.",
  }),
});
