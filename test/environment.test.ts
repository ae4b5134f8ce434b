/** Variables that tests set. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setEnvironment } from "./helpers/environment.ts";

const NAME = "ALT_LAS_TEST_ENVIRONMENT";

test("a variable is what it was when the test has ended that set it or took it away, whatever tests within it did", async (t) => {
  const set = (value: string | undefined) => (inner: Parameters<typeof setEnvironment>[0]) => {
    setEnvironment(inner, { [NAME]: `${value}, first` });
    setEnvironment(inner, { [NAME]: value });
    assert.equal(process.env[NAME], value);
  };
  await t.test("it is set", set("1"));
  assert.equal(process.env[NAME], undefined);
  await t.test("it is set for tests within", async (middle) => {
    setEnvironment(middle, { [NAME]: "outer" });
    await middle.test("and set again", set("inner"));
    assert.equal(process.env[NAME], "outer");
    await middle.test("and taken away", set(undefined));
    assert.equal(process.env[NAME], "outer");
  });
  assert.equal(process.env[NAME], undefined);
});
