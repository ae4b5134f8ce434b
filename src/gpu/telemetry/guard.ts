/**
 * A thread that ends this process when its parent has ended. The closing of the channel says so too, but to the main thread, which may
 * hang in a call of a driver's library. On Windows a process keeps the number of its parent, and this thread has nothing to see.
 */
import { workerData } from "node:worker_threads";

/** Milliseconds between two looks; the system does not tell. */
const LOOK_EVERY = 1000;

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, "SIGKILL");
}, LOOK_EVERY);
