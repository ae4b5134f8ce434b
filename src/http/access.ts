/** Who may do what. These run before a request's body is read, so that a refusal costs nothing. */
import { type FastifyReply, type FastifyRequest } from "fastify";
import { type Caller } from "../auth/credentials.ts";
import { isLoopback } from "../config.ts";
import { AltLasError } from "../errors.ts";
import { type TaskSnapshot } from "../scheduler/tasks.ts";
import { shown } from "../validation.ts";
import { type ServerParts } from "./parts.ts";

type Hook = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void;

/** Finds out who is calling; without proof the request ends here. */
export function authentication({ credentials, config }: ServerParts): Hook {
  const open = !config.auth.enabled;
  return (request, _reply, done) => {
    // Without credentials a page in a browser here could call, under a name of its own that it lets point to this machine.
    if (open && !isLoopback(request.hostname.replace(/^\[|\]$/g, ""))) {
      throw new AltLasError(
        "forbidden",
        `With auth.enabled: false only requests to localhost are answered; the Host header says ${shown(request.hostname)}.`,
      );
    }
    const caller = credentials.authenticate(request.headers.authorization);
    if (!(caller instanceof Promise)) {
      request.caller = caller;
      done();
      return;
    }
    void proven(caller, request, done);
  };
}

async function proven(pending: Promise<Caller>, request: FastifyRequest, done: (error?: Error) => void): Promise<void> {
  try {
    request.caller = await pending;
  } catch (error) {
    done(error as Error);
    return;
  }
  done();
}

/** Lets only those pass who may submit tasks, and only while the server takes any. */
export function submission({ draining, config }: ServerParts): Hook {
  return ({ caller }, _reply, done) => {
    if (caller.role === "viewer") {
      const sentence = `Submitting a task needs the role user or admin; ${caller.name} has the role viewer.`;
      throw new AltLasError("forbidden", sentence);
    }
    if (draining()) {
      throw new AltLasError("draining", "The server is stopping and takes no new tasks.", {
        retryAfter: config.server.drain_timeout,
      });
    }
    done();
  };
}

/** Lets only those pass who may take GPUs out of service and bring them back. */
export const operation: Hook = ({ caller }, _reply, done) => {
  if (caller.role !== "admin") {
    const sentence = `Draining and resuming a GPU needs the role admin; ${caller.name} has the role ${caller.role}.`;
    throw new AltLasError("forbidden", sentence);
  }
  done();
};

/** A user sees its own tasks, the other roles all of them. */
export function maySee(caller: Caller, task: Pick<TaskSnapshot, "user">): boolean {
  return caller.role !== "user" || task.user === caller.name;
}
