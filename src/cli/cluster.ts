/** The commands `cluster`, `cluster token`, `cluster revoke` and `cluster init`. */
import type { Command } from "commander";
import { said } from "../words/terminal.ts";
import { placesOf, remote, type RemoteFlags, type RemoteIo, remoteOf } from "./remote/commands.ts";

export function addCluster(cli: Command, io: RemoteIo): void {
  const cluster = remote(cli.command("cluster")).description(
    "show servers, machines, who leads and how far each is behind; for admins",
  );
  cluster.action(async (flags: RemoteFlags) => {
    const { clusterCommand } = await import("./remote/cluster.ts");
    const { out } = placesOf(io);
    const { columns, colour } = out;
    out.write(`${await clusterCommand(await remoteOf(flags), { columns, colour, json: flags.json === true })}\n`);
  });
  remote(cluster.command("token [name]"))
    .description(
      "print the line that lets one machine join, within an hour: a new one, or the one of that name; for admins",
    )
    .option("--nats <url>", "where that machine finds the NATS server (default: where the server does)")
    .action(async (machine: string | undefined, _flags: object, command: Command) => {
      // An option that follows is taken for one of `cluster`, where that has one of the same name.
      const flags = command.optsWithGlobals<RemoteFlags & { nats?: string }>();
      const { tokenCommand } = await import("./remote/cluster.ts");
      const { out, err } = placesOf(io);
      const { text, note } = await tokenCommand(await remoteOf(flags), {
        nats: flags.nats,
        machine,
        json: flags.json === true,
      });
      out.write(`${text}\n`);
      if (note !== null) err.write(`${said(note)}\n`);
    });
  addRevoke(cluster, io);
  cluster
    .command("init <folder>")
    .description("make the keys of a cluster: a configuration of NATS, and the files that its servers need")
    .requiredOption("--nats <url>", "where servers and machines find the NATS server, like tls://nats.example.com:4222")
    .action(async (folder: string, { nats }: { nats: string }) => {
      const { initCommand } = await import("./cluster-init.ts");
      placesOf(io).out.write(`${said(await initCommand(folder, nats))}\n`);
    });
}

function addRevoke(cluster: Command, io: RemoteIo): void {
  remote(cluster.command("revoke <name>"))
    .description("lock a machine out at once; cluster token NAME lets it in again; for admins")
    .action(async (machine: string, _flags: object, command: Command) => {
      const flags = command.optsWithGlobals<RemoteFlags>();
      const { revokeCommand } = await import("./remote/cluster.ts");
      placesOf(io).out.write(`${await revokeCommand(await remoteOf(flags), machine, flags.json === true)}\n`);
    });
}
