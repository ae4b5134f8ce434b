/** A rule for oxlint: a class holds only so much state that changes. More of it is two or three classes that do not know it yet. */

/** Fields that are not `readonly`. */
const MOST_FIELDS = 12;

/** What the rule reads of the syntax tree (ESTree, with TypeScript's `readonly`). */
interface ClassNode {
  readonly id: { readonly name: string } | null;
  readonly body: { readonly body: readonly { readonly type: string; readonly readonly?: boolean }[] };
}

interface Context {
  report(finding: { readonly node: ClassNode; readonly message: string }): void;
}

function create(context: Context) {
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
}

export default { meta: { name: "structure" }, rules: { "mutable-fields": { create } } };
