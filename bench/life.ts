/** What the life of tasks costs: canceling, waiting in a long queue, a start with many tasks stored, clients that wait. */
import { cancel } from "./cancel.ts";
import { queueDepth } from "./queue-depth.ts";
import { queueMemory } from "./queue-memory.ts";
import { startUp } from "./start-up.ts";
import { waiting } from "./waiting.ts";

export const LIFE = [cancel, queueDepth, queueMemory, startUp, waiting];
