/** Which answers count as read: those that went out whole, to the user whose tasks they are about. */
import type { FastifyReply } from "fastify";
import type { TaskApi, TaskSnapshot } from "../tasks/task-api.ts";

export type ReadTask = Pick<TaskSnapshot, "seq" | "texts" | "user">;

/**
 * To be called before an answer with the texts of these tasks is ended. When the system has taken all of it, over a connection that is still
 * there, its texts have been read; where the answer breaks off, they stay. Texts of others that an admin reads do not count as read.
 */
export function tellRead(tasks: Pick<TaskApi, "read">, reply: FastifyReply, read: readonly ReadTask[]): void {
  const own = read.filter((task) => isUnread(task) && task.user === reply.request.caller.name);
  if (own.length > 0) whenDelivered(reply, () => tasks.read(own));
}

/** Adds a task whose texts go when they are read, without its texts. */
export function addUnread(task: ReadTask, to: ReadTask[]): void {
  const { seq, texts, user } = task;
  if (isUnread(task)) to.push({ seq, texts, user });
}

function isUnread({ texts }: Pick<ReadTask, "texts">): boolean {
  return texts === "until_read" || texts === "never";
}

/** Calls `then` when the answer has gone out whole. */
export function whenDelivered({ request, raw }: FastifyReply, then: () => void): void {
  const { socket } = request.raw;
  if (request.method === "HEAD") return;
  // Before the server itself lets go of the connection.
  raw.prependOnceListener("finish", () => {
    if (!socket.destroyed && raw.statusCode < 300) then();
  });
}
