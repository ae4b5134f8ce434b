/** Bytes in words. */

/** Like "12.5 MiB", rounded to the nearest. */
export function shownSize(bytes: number): string {
  return inUnits(bytes, (tenths) => tenths);
}

/** Like "12.5 MiB", rounded up, so that what is needed never looks like what may be used. */
export function atLeast(bytes: number): string {
  return inUnits(bytes, Math.ceil);
}

/** Like "12.5 MiB", rounded down. */
export function atMost(bytes: number): string {
  return inUnits(bytes, Math.floor);
}

function inUnits(bytes: number, round: (value: number) => number): string {
  const unit = bytes < 2 ** 30 ? { name: "MiB", bytes: 2 ** 20 } : { name: "GiB", bytes: 2 ** 30 };
  return `${(round((bytes / unit.bytes) * 10) / 10).toFixed(1)} ${unit.name}`;
}
