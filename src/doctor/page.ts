/** The page of `alt-las doctor` for people: it is pasted into issues, so it is plain text that is no wider than it has to be. */
import { legible } from "../common/legible.ts";
import { said, saidAlone } from "../words/terminal.ts";
import { shownSize } from "../common/sizes.ts";
import type { DoctorReport, Fact } from "./section.ts";

export function doctorPage(report: DoctorReport): string {
  const { at, facts, problems } = legible(report);
  const sections = Object.entries(facts).map(([name, values]) => [said(title(name)), ...lines(values)].join("\n"));
  const wrong = problems.map(({ problem, mend }, index) => {
    const sentence = `${index + 1}. ${said(problem).replaceAll("\n", "\n   ")}`;
    return mend === null ? sentence : `${sentence}\n   ${said("To mend it:")} ${mend}`;
  });
  const verdict = wrong.length === 0 ? [said("Nothing is wrong.")] : [said("WHAT IS WRONG"), ...wrong];
  return [`ALT_LAS doctor, ${at}`, ...sections, verdict.join("\n")].join("\n\n");
}

function title(name: string): string {
  return words(name).toUpperCase();
}

function words(name: string): string {
  return name.replace(/_bytes$/, "").replaceAll("_", " ");
}

function lines(values: Readonly<Record<string, Fact>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const label = `  ${saidAlone(words(name))}:`;
    if (Array.isArray(value) && value.length > 0)
      return [label, ...value.map((one) => `    ${shown(name, one as Fact)}`)];
    return [`${label} ${Array.isArray(value) ? said("none") : shown(name, value)}`];
  });
}

function shown(name: string, value: Fact): string {
  if (value === null) return "-";
  if (typeof value === "number" && name.endsWith("_bytes")) return shownSize(value);
  if (typeof value === "boolean") return said(value ? "yes" : "no");
  // One word is a name or a code.
  if (typeof value !== "object") return String(value).includes(" ") ? said(String(value)) : String(value);
  if (Array.isArray(value)) return value.map((one) => shown("", one as Fact)).join(", ");
  return Object.entries(value)
    .map(([key, inner]) => `${saidAlone(words(key))} ${shown(key, inner)}`)
    .join(", ");
}
