/** The parts of CHANGELOG.md that a release needs: the heading of its version, and what stands below it. */

/** Like 0.2.0: what npm publishes without a further word. A version for trying out would need a tag of its own on npm. */
export const VERSION = /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)$/;

const UNRELEASED = "Unreleased";

export interface Section {
  /** Like 2026-11-28; null: it has not been released. */
  readonly date: string | null;
  /** What stands below the heading, up to the next one, without lines around it. */
  readonly notes: string;
}

/** null: there is no such heading. @throws {Error} one sentence: the heading has no date, and does not say that there is none yet */
export function sectionOf(changelog: string, version: string): Section | null {
  const lines = changelog.split("\n");
  const at = lines.findIndex((line) => line.startsWith(`## [${version}]`));
  if (at < 0) return null;
  const [, when = ""] = /\] - (.+)$/.exec(lines[at]!) ?? [];
  if (when !== UNRELEASED && !/^\d{4}-\d\d-\d\d$/.test(when))
    throw new Error(`The heading "${lines[at]}" of CHANGELOG.md ends neither in a date nor in "- ${UNRELEASED}".`);
  const length = lines.slice(at + 1).findIndex((line) => line.startsWith("## "));
  const below = lines.slice(at + 1, length < 0 ? undefined : at + 1 + length);
  return { date: when === UNRELEASED ? null : when, notes: below.join("\n").trim() };
}

/** The version that is written at present: the first heading without a date; null: there is none. */
export function nextVersion(changelog: string): string | null {
  return new RegExp(`^## \\[([^\\]]+)\\] - ${UNRELEASED}$`, "m").exec(changelog)?.[1] ?? null;
}

/** The changelog with a date in a heading that has none. */
export function dated(changelog: string, version: string, date: string): string {
  return changelog.replace(`## [${version}] - ${UNRELEASED}`, `## [${version}] - ${date}`);
}

/** Below 0: `a` is older than `b`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  const at = left!.findIndex((part, index) => part !== right![index]);
  return at < 0 ? 0 : left![at]! - right![at]!;
}
