/** What tests ask a server of a cluster. */
import { type GpusAnswer } from "../../src/http/schemas/gpus.ts";
import { type Server } from "./server.ts";

export async function gpus(server: Server): Promise<GpusAnswer["gpus"]> {
  return (await server.request<GpusAnswer>("GET", "/api/v1/gpus")).body.gpus;
}

/** Waits until so many GPUs are ready. */
export async function ready(server: Server, count: number): Promise<void> {
  while ((await gpus(server)).filter(({ status }) => status === "ready").length < count)
    await new Promise((resolve) => void setTimeout(resolve, 50));
}

export async function running(server: Server, id: string): Promise<void> {
  while ((await server.request<{ status: string }>("GET", `/api/v1/task/${id}`)).body.status !== "running")
    await new Promise((resolve) => void setTimeout(resolve, 50));
}
