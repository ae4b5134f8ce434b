/** Tickets for event streams. */
import { Type, type Static } from "../../common/type.ts";
import { closed, Time, TIME_EXAMPLE } from "./common.ts";

/** The query's part of a stream that tickets may open. */
export const ticketQuery = {
  ticket: Type.Optional(
    Type.String({ description: "A ticket of POST /stream_ticket, for clients that cannot send credentials." }),
  ),
};

export const TicketRequest = closed(
  {
    path: Type.String({
      description:
        "The stream's path, with or without its query: /api/v1/events, or that of a task's events or a batch's results.",
    }),
  },
  { title: "TicketRequest", examples: [{ path: "/api/v1/events" }] },
);
export type TicketRequest = Static<typeof TicketRequest>;

export const TicketAnswer = Type.Object(
  { ticket: Type.String(), expires_at: Time("When it is too late to open the stream by it for the first time.") },
  { examples: [{ ticket: "dGhpcyBpcyBhbiBleGFtcGxlLCBub3QgYSB0aWNrZXQu", expires_at: TIME_EXAMPLE }] },
);
