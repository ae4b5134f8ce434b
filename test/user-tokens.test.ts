/** Where texts of callers are cut, so that no token of control is found in them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { UserTokens } from "../src/engine/llama/user-tokens.ts";

type Header = ConstructorParameters<typeof UserTokens>[0];

function userTokens(tokens: readonly string[], template?: string): UserTokens {
  const ggml = { tokens, token_type: tokens.map(() => 4) };
  const tokenizer = { ggml, ...(template !== undefined && { chat_template: template }) };
  return new UserTokens({ insights: { ggufFileInfo: { metadata: { tokenizer } } } } as unknown as Header);
}

test("names of control are known by their looks, or by the chat template; content is left alone", () => {
  const control = [
    "<|im_start|>",
    "<\uff5cUser\uff5c>",
    "<start_of_turn>",
    "</tool_call>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[gMASK]",
  ];
  const content = ["<b>", "</table>", "  ", "\u2581\u2581", "\n\n", "x", "[multimodal]", "a", "<unused7>", "->"];
  assert.deepEqual([...userTokens([...control, ...content]).names], control);
  const said = "{{ '<think>' }}\n\n  ### Answer: x";
  assert.deepEqual(
    [...userTokens(["<think>", "### Answer:", "<b>", "\n\n", "  ", "x"], said).names],
    ["<think>", "### Answer:"],
  );
});

test("the parts of a text are the text, and have none of the names", () => {
  const names = ["<|a|>", "<|a|", "|a|>", "\u{1f642}_", "aa"];
  const known = userTokens(names, names.join(" "));
  assert.deepEqual([...known.names], names);
  const piece = fc.constantFrom("<", "|", "a", ">", "_", "\u{1f642}", "\ud83d", ...names);
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const text = pieces.join("");
      const parts = known.parts(text);
      assert.equal(parts.join(""), text);
      for (const part of parts) for (const name of names) assert(!part.includes(name), `${part} has ${name}`);
      assert(parts.every((part) => text === "" || part !== ""));
      assert(parts.every((part) => part.isWellFormed()) || !text.isWellFormed());
      assert.equal(
        parts.length === 1,
        names.every((name) => !text.includes(name)),
      );
    }),
  );
});
