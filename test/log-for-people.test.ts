/** The log on a terminal. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createLogger, forTerminal } from "../src/log/log.ts";
import { setEnvironment } from "./helpers/environment.ts";

test("what others have sent neither commands a terminal nor looks like lines of the log", async (t) => {
  setEnvironment(t, { NO_COLOR: "1" });
  const terminal = new PassThrough();
  const log = createLogger("info", forTerminal(terminal));
  const nasty = "\u001b[2Jevil\r\n[06:14:42.931] INFO: forged \u009b2J\u202e";
  log.info({ by: nasty }, `configuration changed: ${nasty}`);
  let [text = ""] = (await once(terminal, "data")).map(String);
  log.warn({ err: new Error(nasty) }, "worker failed");
  text += String((await once(terminal, "data"))[0]);
  assert.match(text, /configuration changed: \ufffd\[2Jevil\n {4}\[/);
  assert.match(text, /worker failed/);
  assert.doesNotMatch(text, /^\[06:14:42\.931\]/m);
  assert.doesNotMatch(text.replaceAll("\n", ""), /[\p{Cc}\u202e]/u);
});
