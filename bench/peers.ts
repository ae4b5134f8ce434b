/** This project's server beside its peers, all in one run, by turns: see `fill` (peers/cupboard.ts) for where they come from. */
import { durableSection } from "./peers/durable.ts";
import { fill, type Provided, shelfSection } from "./peers/shelf.ts";
import { streamedSection } from "./peers/streamed.ts";
import { unequalSection } from "./peers/unequal.ts";
import { type Extent, type Section } from "./report.ts";

/** Linux only: what a router takes is read from /proc. */
export async function peers(extent: Extent): Promise<Section[]> {
  const shelf = await fill(extent.all === true);
  const others: Provided[] = [];
  const missing = (one: Provided): void => void others.push(one);
  const sections = [
    await streamedSection(extent, shelf, missing),
    await unequalSection(extent, shelf, missing),
    await durableSection(extent, missing),
  ];
  return [...sections, shelfSection([...shelf.provided, ...others])];
}
