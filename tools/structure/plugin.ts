/**
 * Rules for oxlint.
 *
 *   mutable-fields  a class holds only so much state that changes; more of it is two or three classes that do not know it yet
 *   kinds           only its own folder asks which kind an engine is, and only device-kinds.ts which kind a device is; others ask for a
 *                   trait, so that a new kind is one entry in a table
 *   sql             only the store speaks to a database; others use its ports
 *   started-modules only the compiler renames our modules: one that is started, in a thread or as a process, is found by startedModule,
 *                   since in the package on npm it ends in .js
 *   systems         what only some systems have is asked for as a trait of common/system.ts, or is an exception that says what happens
 *                   where it is not: the platform's name, paths like /proc, signals, programs, and renaming what others have open
 *   subjects        a comment names its subject first: a sentence that begins with What, Who or Whoever has to be read twice
 */
import { ENGINE_KINDS } from "../../src/engine/kinds.ts";

/** Fields that are not `readonly`. */
const MOST_FIELDS = 12;

/** What the rule reads of the syntax tree (ESTree, with TypeScript's `readonly`). */
interface ClassNode {
  readonly id: { readonly name: string } | null;
  readonly body: { readonly body: readonly { readonly type: string; readonly readonly?: boolean }[] };
}

/** A part of a comparison: a name, what is behind a dot, or a literal. */
interface Operand {
  readonly name?: string;
  readonly property?: { readonly name?: string };
  readonly value?: unknown;
}

interface Comparison {
  readonly operator: string;
  readonly left: Operand;
  readonly right: Operand;
}

/** A text in the source, as a literal or a piece of a template. */
interface TextNode {
  readonly value: unknown;
  readonly parent: { readonly type: string };
}

/** A call of a function, or of a method. */
interface Call {
  readonly callee: Operand;
  readonly arguments: readonly Operand[];
}

/** What stands between an object and what is asked of it by a name. */
interface Member {
  readonly object: Operand;
  readonly property: Operand;
}

interface Import {
  readonly source: { readonly value: string };
  readonly specifiers: readonly { readonly imported?: Operand }[];
}

interface Comment {
  readonly type: string;
  readonly value: string;
  readonly loc: { readonly start: { readonly line: number }; readonly end: { readonly line: number } };
}

interface Context<Node> {
  readonly sourceCode: { getAllComments(): readonly Comment[] };
  report(finding: { readonly node: Node; readonly message: string }): void;
}

const mutableFields = {
  create(context: Context<ClassNode>) {
    const count = (node: ClassNode): void => {
      const fields = node.body.body.filter(
        ({ type, readonly = false }) => !readonly && (type === "PropertyDefinition" || type === "AccessorProperty"),
      );
      if (fields.length <= MOST_FIELDS) return;
      const name = node.id?.name ?? "(anonymous)";
      const message = `The class \`${name}\` has ${fields.length} fields that change; ${MOST_FIELDS} are allowed.`;
      context.report({ node, message });
    };
    return { ClassDeclaration: count, ClassExpression: count };
  },
};

const NO_SUBJECT = /(?:^|[.:!?] )(?:What|Who|Whoever) /;

const subjects = {
  create(context: Context<Comment>) {
    return {
      Program(): void {
        for (const comment of paragraphs(context.sourceCode.getAllComments())) {
          const text = comment.value.replaceAll(/\s*\n\s*\*?\s*/g, " ").replace(/^\*?\s*/, "");
          if (NO_SUBJECT.test(text))
            context.report({ node: comment, message: "Begin each sentence of a comment with its subject." });
        }
      },
    };
  },
};

/** Comments of `//` in lines that follow each other are one. */
function paragraphs(comments: readonly Comment[]): Comment[] {
  const found: Comment[] = [];
  for (const comment of comments) {
    const before = found.at(-1);
    const goesOn =
      comment.type === "Line" && before?.type === "Line" && before.loc.end.line + 1 === comment.loc.start.line;
    if (!goesOn) found.push(comment);
    else
      found[found.length - 1] = {
        ...before,
        value: `${before.value} ${comment.value.trim()}`,
        loc: { ...before.loc, end: comment.loc.end },
      };
  }
  return found;
}

const KINDS: ReadonlySet<unknown> = new Set([...ENGINE_KINDS, "gpu", "cpu", "remote"]);

const kinds = {
  create(context: Context<Comparison>) {
    return {
      BinaryExpression(node: Comparison): void {
        const { operator, left, right } = node;
        if (!/^[!=]==?$/.test(operator)) return;
        const names = [left, right].map(({ name, property }) => name ?? property?.name);
        const isKind = names.includes("kind") && [left, right].some(({ value }) => KINDS.has(value));
        if (isKind)
          context.report({ node, message: "Do not compare `kind`: ask for a trait (engineTraits, deviceTraits)." });
      },
    };
  },
};

function textOf({ value }: TextNode): string | undefined {
  return typeof value === "string" ? value : (value as { readonly raw?: string } | null)?.raw;
}

/** How statements begin, in the capitals in which they are written here. */
const SQL =
  /\b(?:SELECT\b[^]*\bFROM|INSERT (?:OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|(?:CREATE|ALTER|DROP) (?:TABLE|INDEX)|PRAGMA|VACUUM|BEGIN (?:IMMEDIATE|EXCLUSIVE))\b/;

const sql = {
  create(context: Context<TextNode>) {
    const check = (node: TextNode): void => {
      const text = textOf(node);
      if (text !== undefined && SQL.test(text)) {
        context.report({ node, message: "SQL stands in src/store only: offer what is needed as a port." });
      }
    };
    return { Literal: check, TemplateElement: check };
  },
};

/** A path that ends as our modules do before they are compiled. */
const TYPESCRIPT = /^[^ ]*\.[cm]?ts$/;
/** Where such a path stands for the compiler. */
const IMPORTS = /^(?:Import|Export|TSImport|TSExternalModule|TSLiteralType)/;

const startedModules = {
  create(context: Context<TextNode>) {
    const check = (node: TextNode): void => {
      if (IMPORTS.test(node.parent.type) || !TYPESCRIPT.test(textOf(node) ?? "")) return;
      context.report({
        node,
        message: "Write no .ts: startedModule (common/started-module.ts) knows how modules end.",
      });
    };
    return { Literal: check, TemplateElement: check };
  },
};

/** Folders of the kernel and of POSIX systems. */
const FOLDERS = /^(\/(?:proc|sys|dev|etc|tmp|usr|bin|var|run))(?:\/|$)/;
/** Windows ends a process for these, and knows no others to send. */
const SENT = new Set<unknown>(["SIGKILL", "SIGTERM", "SIGINT"]);
/** Programs that Windows has not, or starts through its shell only. */
const PROGRAMS = /^(?:sh|bash|npm|npx|ps|kill|which|uname|rm|cp|mv|cat)$/;
const STARTS = /^(?:spawn|execFile|exec|fork)(?:Sync)?$/;

const systems = {
  create(context: Context<TextNode | Call | Member | Import>) {
    const checkPath = (node: TextNode): void => {
      const [, folder] = FOLDERS.exec(textOf(node) ?? "") ?? [];
      if (folder !== undefined)
        context.report({ node, message: `\`${folder}\` is not on every system: what happens where it is not?` });
    };
    return {
      Literal: checkPath,
      TemplateElement: checkPath,
      MemberExpression(node: Member): void {
        if (node.object.name === "process" && node.property.name === "platform")
          context.report({ node, message: "Do not ask for the `platform`: ask for a trait (common/system.ts)." });
      },
      CallExpression(node: Call): void {
        const name = node.callee.name ?? node.callee.property?.name ?? "";
        const given = node.arguments.map(({ value }) => value);
        const signal = name === "kill" ? given.find((one) => String(one).startsWith("SIG")) : undefined;
        if (signal !== undefined && !SENT.has(signal))
          context.report({ node, message: `\`${String(signal)}\` is no signal that every system can send.` });
        if (STARTS.test(name) && PROGRAMS.test(String(given[0])))
          context.report({ node, message: `\`${String(given[0])}\` cannot be started so on every system.` });
      },
      ImportDeclaration(node: Import): void {
        if (!/^(?:node:)?fs(?:\/promises)?$/.test(node.source.value)) return;
        for (const { imported } of node.specifiers)
          if (/^rename(?:Sync)?$/.test(imported?.name ?? ""))
            context.report({ node, message: `Take \`${imported!.name!}\` from common/rename.ts.` });
      },
    };
  },
};

export default {
  meta: { name: "structure" },
  rules: { "mutable-fields": mutableFields, kinds, sql, "started-modules": startedModules, systems, subjects },
};
