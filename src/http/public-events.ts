/** Operators' events for those who may not know the inside of the machine and its network. */
import { deviceTraits } from "../gpu/device-kinds.ts";
import type { GpuStatus } from "../gpu/status.ts";
import type { OperatorEvent } from "../topics.ts";
import { publicReason } from "./public-words.ts";

/** In the place of sentences that may name paths, addresses and values, or are another program's. */
const WORDS: { readonly [Kind in OperatorEvent["kind"]]?: Readonly<Record<string, string>> } = {
  model: { load_failed: "A model cannot be loaded.", fetch_failed: "The file of a model could not be fetched." },
  config: {
    changed: "The configuration was changed.",
    reloaded: "The configuration was read again.",
    reload_failed: "The configuration was read again, and has a mistake: nothing changed.",
  },
  store: {
    failing: "Tasks cannot be written to disk.",
    lost: "The task store has failed. Nothing can be stored until the server is started again.",
    quarantined: "The task database was damaged, and was put aside.",
  },
  auth: {
    gone: "The file of users and keys is gone.",
    damaged: "The file of users and keys is damaged. Those known before stay in force.",
    hangs: "The disk with the file of users and keys does not answer. Those known before stay in force.",
    answers: "The disk with the file of users and keys answers again.",
    refused: "Credentials were refused.",
  },
  webhook: { paused: "An endpoint of webhooks is paused.", resumed: "An endpoint of webhooks is resumed." },
};

/** @param gpus tells those that the server has; asked only where that matters */
export function publicEvent(event: OperatorEvent, gpus: () => readonly GpuStatus[]): OperatorEvent {
  switch (event.kind) {
    case "gpu": {
      const gpu = gpus().find(({ id }) => id === event.gpuId);
      const isServer = gpu !== undefined && deviceTraits(gpu).isServer;
      return { ...event, sentence: publicReason(event.event, event.sentence, isServer) };
    }
    default:
      return { ...event, sentence: WORDS[event.kind]?.[event.event] ?? event.sentence };
  }
}
