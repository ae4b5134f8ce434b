/** The command `cluster`. */
import type { Command } from "commander";
import { placesOf, remote, type RemoteFlags, type RemoteIo, remoteOf } from "./remote/commands.ts";

export function addCluster(cli: Command, io: RemoteIo): void {
  remote(
    cli.command("cluster").description("show servers, machines, who leads and how far each is behind; for admins"),
  ).action(async (flags: RemoteFlags) => {
    const { clusterCommand } = await import("./remote/cluster.ts");
    const { out } = placesOf(io);
    const { columns, colour } = out;
    out.write(`${await clusterCommand(await remoteOf(flags), { columns, colour, json: flags.json === true })}\n`);
  });
}
