/** Work to do when an answer is out or its client has gone. */
import type { ServerResponse } from "node:http";

const ACTIONS = Symbol("when it closes");

type Response = ServerResponse & { [ACTIONS]?: (() => void)[] };

/**
 * Does something once when a response closes. All that is to be done then shares one listener: for each request, another one would cost
 * more than most of what they do.
 */
export function onceClosed(response: ServerResponse, action: () => void): void {
  const known: Response = response;
  if (known[ACTIONS] !== undefined) return void known[ACTIONS].push(action);
  known[ACTIONS] = [action];
  response.on("close", closed);
}

function closed(this: Response): void {
  for (const action of this[ACTIONS]!) action();
}
