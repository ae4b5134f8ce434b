/** The languages that sentences are shown in. Codes, names of fields and logs are English everywhere. */
export type Language = "en" | "tr";

/** As much of a header as is read. */
const LONGEST = 500;

/**
 * The language that a client wants (RFC 9110, section 12.5.4): of those that there are the one with the highest weight, and of equal ones
 * the first. English where none is asked for.
 * @param header `Accept-Language`
 */
export function acceptedLanguage(header: string | undefined): Language {
  // Most clients ask for no language, and most browsers for others.
  if (header === undefined || !/\btr\b/i.test(header)) return "en";
  let best: { readonly language: Language; readonly weight: number } | null = null;
  for (const range of header.slice(0, LONGEST).split(",")) {
    const [name = "", ...parameters] = range.split(";").map((part) => part.trim());
    const language = languageNamed(name) ?? (name === "*" ? "en" : null);
    const weight = weightOf(parameters);
    if (language !== null && weight > (best?.weight ?? 0)) best = { language, weight };
  }
  return best?.language ?? "en";
}

/** @returns 0 for what is no weight, so that nothing follows from it */
function weightOf(parameters: readonly string[]): number {
  const given = parameters.find((parameter) => /^q\s*=/i.test(parameter));
  if (given === undefined) return 1;
  const [, digits] = /^q\s*=\s*([01](?:\.\d{0,3})?)$/i.exec(given) ?? [];
  return digits === undefined ? 0 : Math.min(1, Number(digits));
}

/**
 * The language of a command line, as POSIX has it: the first of three variables that is set and not empty.
 * @param environment `process.env`
 */
export function languageOfTerminal(environment: Readonly<Record<string, string | undefined>>): Language {
  const { LC_ALL, LC_MESSAGES, LANG } = environment;
  return languageNamed(LC_ALL || LC_MESSAGES || LANG || "") ?? "en";
}

/** The language of a name like `tr`, `tr-TR` or `tr_TR.UTF-8`; null: it is not here. */
function languageNamed(name: string): Language | null {
  const [, primary] = /^([a-z]{2,3})(?:[-_.@]|$)/i.exec(name) ?? [];
  switch (primary?.toLowerCase()) {
    case "tr":
      return "tr";
    case "en":
      return "en";
    default:
      return null;
  }
}
