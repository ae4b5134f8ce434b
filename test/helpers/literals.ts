/** The texts of a source file: string literals and templates, with what stands before each. Comments and regular expressions are left out. */

export interface Literal {
  /** A template's places are `{}`. */
  readonly text: string;
  /** Of 1. */
  readonly line: number;
  /** The code before it on the way from the last statement, without the texts in it. */
  readonly before: string;
  /** It is a part of a template's place. */
  readonly depth: number;
}

/** Behind these a slash begins a regular expression; behind names, numbers and closing brackets it divides. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else))\s*$/;

export function literalsOf(source: string): Literal[] {
  const found: Literal[] = [];
  let code = "";
  let at = 0;

  const lineAt = (place: number): number => source.slice(0, place).split("\n").length;

  const quoted = (quote: string, depth: number): void => {
    const from = at++;
    let text = "";
    while (at < source.length && source[at] !== quote) text += source[at] === "\\" ? escaped() : source[at++];
    at++;
    found.push({ text, line: lineAt(from), before: code.slice(-200), depth });
    code += '""';
  };

  const escaped = (): string => {
    const next = source[at + 1]!;
    at += 2;
    if (next === "u") {
      const [all, hex] = /^(?:\{([0-9a-f]+)\}|[0-9a-f]{4})/i.exec(source.slice(at))!;
      at += all.length;
      return String.fromCodePoint(Number.parseInt(hex ?? all, 16));
    }
    if (next === "x") {
      at += 2;
      return String.fromCodePoint(Number.parseInt(source.slice(at - 2, at), 16));
    }
    return { n: "\n", t: "\t", r: "\r", "0": "\0", "\n": "" }[next] ?? next;
  };

  const template = (depth: number): void => {
    const from = at++;
    const before = code.slice(-200);
    let text = "";
    while (at < source.length && source[at] !== "`") {
      if (source[at] === "\\") text += escaped();
      else if (source.startsWith("${", at)) {
        at += 2;
        text += "{}";
        const outer = code;
        code = "";
        until("}", depth + 1);
        code = outer;
      } else text += source[at++];
    }
    at++;
    found.push({ text, line: lineAt(from), before, depth });
    code += '""';
  };

  /** Reads code up to a closing bracket, or the end. */
  const until = (end: string, depth: number): void => {
    while (at < source.length) {
      const char = source[at]!;
      if (char === end) return void at++;
      if (source.startsWith("//", at)) at = endOf("\n");
      else if (source.startsWith("/*", at)) at = endOf("*/") + 2;
      else if (char === '"' || char === "'") quoted(char, depth);
      else if (char === "`") template(depth);
      else if (char === "/" && BEFORE_REGEX.test(code.slice(-20))) regex();
      else if (char === "{") {
        code += source[at++];
        until("}", depth);
        code += "}";
      } else code += source[at++];
    }
  };

  const endOf = (text: string): number => {
    const place = source.indexOf(text, at);
    return place === -1 ? source.length : place;
  };

  const regex = (): void => {
    let inClass = false;
    for (at++; at < source.length && (source[at] !== "/" || inClass); at++) {
      if (source[at] === "\\") at++;
      else if (source[at] === "[") inClass = true;
      else if (source[at] === "]") inClass = false;
    }
    at++;
    code += "0";
  };

  until("", 0);
  return found;
}
