/** This project's server beside its peers, by turns, in one run: peers/cupboard.ts says where they come from. */
import { durableSection } from "./peers/durable.ts";
import { engineSection } from "./peers/engine.ts";
import { fill, type Provided, type Shelf, shelfSection } from "./peers/shelf.ts";
import { streamedSection } from "./peers/streamed.ts";
import { unequalSection } from "./peers/unequal.ts";
import { type Extent, type Section } from "./report.ts";

/** Brought once, for all parts. */
let shelf: Promise<Shelf> | null = null;
/** Who did not start or failed, and what only one part has. */
const others: Provided[] = [];

function shelfFor({ all = false }: Extent): Promise<Shelf> {
  return (shelf ??= fill(all));
}

function missing(one: Provided): void {
  others.push(one);
}

async function unequal(extent: Extent): Promise<Section> {
  return unequalSection(extent, await shelfFor(extent), missing);
}

/** One part by itself, and who could not be had. */
export const UNEQUAL: readonly ((extent: Extent) => Promise<Section>)[] = [
  unequal,
  async (extent) => shelfSection([...(await shelfFor(extent)).provided, ...others]),
];

/** The parts. Linux only: what a program takes is read from /proc. */
export const PEERS: readonly ((extent: Extent) => Promise<Section>)[] = [
  async (extent) => streamedSection(extent, await shelfFor(extent), missing),
  unequal,
  (extent) => durableSection(extent, missing),
  (extent) => engineSection(extent, missing),
  async (extent) => shelfSection([...(await shelfFor(extent)).provided, ...others]),
];
