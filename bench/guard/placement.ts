/** Prints what a checkout's own benchmark says of one placement, as JSON. Its folder is the only argument. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Section } from "../report.ts";

const [folder] = process.argv.slice(2);
const { placement } = (await import(pathToFileURL(join(folder!, "bench", "scheduler.ts")).href)) as {
  placement(extent: { quick: boolean; profile: boolean }): Promise<Section>;
};
const { rows } = await placement({ quick: true, profile: false });
console.log(JSON.stringify(rows));
