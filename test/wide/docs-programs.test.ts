/** The programs in Python and JavaScript of the documents whose blocks are marked `run`, as they stand there, against a real server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { globSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { NO_BROWSER, openBrowser, openPage } from "../helpers/browser.ts";
import { environmentOf, haveClients, NO_CLIENTS, NODE_PACKAGES, pythonIn } from "../helpers/clients.ts";
import { blocksOf } from "../helpers/documents.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { PYTHON_ENVIRONMENT } from "../helpers/own-clients.ts";
import { newFolder, type Owner, ROOT, runProgram } from "../helpers/server.ts";

const CONFIG = `
api: { ollama: true, anthropic: true }
auth: { anonymous_user: visitor, users: [{ name: visitor, role: user }] }
webhooks: { allow_private: true }
engine:
  kind: simulated
  simulated: { tokens_per_second: 0, context: 512, models: [{ gpu_id: 0, name: demo }, { gpu_id: 1, name: demo }] }
`;
const server = await startLocalServer({ after }, { config: CONFIG, devices: "simulated:2" });
await server.loaded();

/** Of a document all blocks of a language that are run: later ones go on with what earlier ones have made. */
interface Program {
  readonly path: string;
  readonly language: "python" | "js";
  readonly text: string;
}

const PROGRAMS: readonly Program[] = globSync(["docs/**/*.md", "README.md", "clients/*/README.md"], { cwd: ROOT })
  .toSorted()
  .flatMap((path) =>
    (["python", "js"] as const).map((language) => {
      const blocks = blocksOf(path).filter((block) => block.language === language && block.mark === "run");
      return { path, language, text: blocks.map(({ text }) => text).join("\n") };
    }),
  )
  .filter(({ text }) => text !== "");

/** The names that a document takes to be there, and nothing else. */
const KEY = { python: `key = "${server.key}"\n`, js: `const key = "${server.key}";\n` };

/** A line for each request of a batch, as docs/openai.md shows one. */
function linesOf(path: string): string {
  return blocksOf(path)
    .filter(({ language, text }) => language === "json" && text.includes('"custom_id"'))
    .map(({ text }) => `${JSON.stringify(JSON.parse(text))}\n`)
    .slice(0, 1)
    .join("");
}

/** A folder in which the packages of test/clients are found. */
function folderFor(t: TestContext, path: string): string {
  const folder = newFolder(t);
  symlinkSync(NODE_PACKAGES, join(folder, "node_modules"));
  writeFileSync(join(folder, "lines.jsonl"), linesOf(path));
  return folder;
}

async function runs(t: TestContext, { path, language, text }: Program, before: string): Promise<string> {
  const folder = folderFor(t, path);
  const file = join(folder, language === "python" ? "program.py" : "program.mjs");
  writeFileSync(
    file,
    before + text.replaceAll("http://127.0.0.1:8642", server.url).replaceAll("altlas_XnvB…", server.key),
  );
  const program = language === "python" ? pythonIn(environmentOf("openai")) : process.execPath;
  const env = { ...PYTHON_ENVIRONMENT, ALT_LAS_URL: server.url, ALT_LAS_API_KEY: server.key };
  const { code, stdout, stderr } = await runProgram(program, [file], { cwd: folder, env });
  assert.equal(code, 0, `${path}\n${text}\n${stdout}\n${stderr}`);
  return stdout;
}

const skip = haveClients() ? false : NO_CLIENTS;

const isOfClients = ({ path }: Program): boolean => path.startsWith("clients/");
const isForBrowsers = ({ path, language }: Program): boolean => path === "docs/api.md" && language === "js";
const others = PROGRAMS.filter((one) => !isOfClients(one) && !isForBrowsers(one));

test("each document with programs has some that are run", () => {
  assert.ok(others.length >= 7, String(others.length));
});

for (const program of others)
  test(`the ${program.language} of ${program.path} does what it is there for`, { skip }, async (t) => {
    const tasks = (await server.tasks()).total;
    await runs(t, program, KEY[program.language]);
    assert.ok((await server.tasks()).total > tasks, "it has submitted something");
  });

test("the page of docs/api.md gets the server's events by a ticket", { skip: NO_BROWSER ?? false }, async (t) => {
  const page = await openPage(await openBrowser(t));
  await page.goto(`${server.url}/livez`);
  const { text } = PROGRAMS.find(isForBrowsers)!;
  const opened = "await new Promise((open) => events.addEventListener('hello', open)); events.close();";
  assert.equal(await page.evaluate<string>(`(async () => { ${KEY.js} ${text} ${opened} return "told"; })()`), "told");
});

/** A webhook of the server: its secret, which is told once, and how it came. */
async function aWebhook(t: Owner) {
  const receiver = createServer().listen(0, "127.0.0.1");
  await once(receiver, "listening");
  t.after(() => void receiver.close());
  const webhook_url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  const came = once(receiver, "request");
  await server.run({ text: "Once", max_length: 3, webhook_url, webhook_events: ["task.completed"] });
  const [request, response] = await came;
  const body = (await request.toArray()).join("");
  response.writeHead(204, { connection: "close" }).end();
  const { body: of } = await server.request<{ secret: string }>("GET", "/api/v1/webhook_secret");
  return { secret: of.secret, headers: request.headers as Record<string, string>, body };
}

const given = await aWebhook({ after });

for (const program of PROGRAMS.filter(isOfClients))
  test(`the signature of a webhook is checked as ${program.path} says`, { skip }, async (t) => {
    const before =
      program.language === "python"
        ? `import json\nfrom types import SimpleNamespace\nfrom alt_las import verify_webhook\ngiven = json.loads(${JSON.stringify(JSON.stringify(given))})\nsecret, body = given["secret"], given["body"]\nrequest = SimpleNamespace(headers=given["headers"])\n`
        : `import { verifyWebhook } from "${join(ROOT, "clients/typescript/src/index.ts")}";\nconst { secret, headers, body } = ${JSON.stringify(given)};\nconst request = { headers };\n`;
    const last = program.language === "python" ? "print(event['type'])\n" : "console.log(event.type);\n";
    assert.equal(await runs(t, { ...program, text: program.text + last }, before), "task.completed\n");
  });
