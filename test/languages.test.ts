/** Sentences in the language of whoever asks, over HTTP and on a terminal. Codes and names of fields are English in every language. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { newFolder } from "./helpers/server-handle.ts";
import { viewIn } from "../src/http/reader-language.ts";
import { runCommand } from "./helpers/command.ts";
import { startLocalServer } from "./helpers/local-server.ts";

const server = await startLocalServer({ after }, { config: "api: { anthropic: true }", devices: "simulated:1" });

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

async function ask(path: string, language: string, body?: object, key = server.key): Promise<Answer> {
  const response = await fetch(server.url + path, {
    ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
    headers: {
      authorization: `Bearer ${key}`,
      "accept-language": language,
      ...(body !== undefined && { "content-type": "application/json" }),
    },
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Answer["body"] };
}

const TURKISH = "tr-TR,tr;q=0.9,en;q=0.5";

test("a refusal is in the language that is asked for, with the same code, and says so", async () => {
  const { status, headers, body } = await ask("/api/v1/predict", TURKISH, { text: "a", max_length: "long" });
  assert.equal(status, 400);
  assert.deepEqual(body, {
    error: 'max_length şu olmalı: tam sayı, en az 1; verilen: "long".',
    code: "invalid_input",
  });
  assert.equal(headers.get("content-language"), "tr");
  assert.match(headers.get("vary") ?? "", /accept-language/i);
});

test("a language that is not there is English, and so is none", async () => {
  for (const language of ["de-DE, fr;q=0.5", "*", ""]) {
    const { headers, body } = await ask("/api/v1/task/1", language);
    assert.equal(body["error"], 'There is no task "1"; a task_id is a UUID.');
    assert.equal(headers.get("content-language"), "en");
  }
});

function schemaOf(schema: object, strict = false): object {
  return { text: "a", response_format: { type: "json_schema", json_schema: { name: "a", strict, schema } } };
}

const REFUSALS: readonly (readonly [path: string, body: object | undefined, status: number, sentence: string])[] = [
  ["/api/v1/predict", {}, 400, "text eksik; boş olmayan bir metin olmalı ya da messages veya input verilmeli."],
  ["/api/v1/predict", { txt: "a" }, 400, "txt bilinen bir alan değil; text denmek istenmiş olabilir."],
  ["/api/v1/predict", { text: "a", model: "x" }, 400, 'model bir modelin adı olmalı (simulated); verilen: "x".'],
  [
    "/api/v1/predict",
    { text: "a", gpu_options: { strategy: "best" } },
    400,
    'gpu_options.strategy şu olmalı: şunlardan biri: "round_robin", "least_loaded", "memory_optimized", "task_specific", "random"; verilen: "best".',
  ],
  [
    "/api/v1/predict",
    { text: "a", gpu_options: { specific_gpu_id: 7 } },
    400,
    "gpu_options.specific_gpu_id bir GPU'nun kimliği olmalı (0); verilen: 7.",
  ],
  [
    "/api/v1/batch_predict",
    { batch: [] },
    400,
    "batch şu olmalı: 1 ile 1000 arası öğeli liste; verilen: 0 öğeli liste.",
  ],
  [
    "/api/v1/predict",
    schemaOf({ properties: { "the name": { type: ["strng"] } } }),
    400,
    'response_format.json_schema.schema alanında /properties/the name/type kullanılamaz: type şu olmalı: bir JSON tipinin adı ya da bunlardan oluşan liste; verilen: "strng"; string denmek istenmiş olabilir.',
  ],
  [
    "/api/v1/predict",
    schemaOf({ type: "array", uniqueItems: true }, true),
    400,
    "response_format.json_schema.schema alanında /uniqueItems güvenceye alınamaz: öğelerin farklı olduğu bir dilbilgisiyle ifade edilemez. strict olmadan, yanıt gelince denetlenir.",
  ],
  ["/api/v1/gpus/9", undefined, 404, 'GPU "9" yok; GPU\'lar: 0.'],
  ["/api/v1/nowhere", undefined, 404, "GET /api/v1/nowhere diye bir yol yok."],
  [
    "/api/v1/task/00000000-0000-4000-8000-000000000000",
    undefined,
    404,
    "00000000-0000-4000-8000-000000000000 görevi yok ya da başkasına ait.",
  ],
];

for (const [path, sent, status, sentence] of REFUSALS) {
  test(`in Turkish: ${sentence}`, async () => {
    const answer = await ask(path, "tr", sent);
    assert.equal(answer.body["error"], sentence);
    assert.equal(answer.status, status);
  });
}

test("without credentials too, before anything is known of the caller", async () => {
  const { status, body } = await ask("/api/v1/tasks", "tr", undefined, "wrong-key-that-nobody-has");
  assert.equal(status, 401);
  assert.deepEqual(body, { error: "API anahtarı bilinmiyor ya da iptal edildi.", code: "unauthorized" });
});

test("clients of the APIs of others read a Turkish message, and find their codes as they are", async () => {
  const message = 'model bir modelin adı olmalı (simulated); verilen: "x".';
  const chat = { model: "x", max_tokens: 4, messages: [{ role: "user", content: "a" }] };
  const openai = await ask("/v1/chat/completions", "tr", chat);
  assert.deepEqual(openai.body, {
    error: { message, type: "not_found_error", param: "model", code: "model_not_found" },
  });
  const { body } = await ask("/v1/messages", "tr", chat);
  assert.deepEqual(body["error"], { type: "not_found_error", message });
});

test("why a stored task failed is told in the language of each reader", async () => {
  const { task_id: id } = await server.predict({ text: "a", max_length: 100_000, timeout_seconds: 0.1 });
  await server.ended(id);
  const english = "The task was not done 0.1 s after its submission.";
  const turkish = "Görev, gönderildikten 0.1 sn sonra bitmemişti.";
  const path = `/api/v1/task/${id}`;
  assert.equal((await ask(path, "en")).body["error"], english);
  const { body } = await ask(path, "tr");
  assert.equal(body["error"], turkish);
  assert.equal(body["error_code"], "timeout");
  assert.equal(body["status"], "failed");
  const placement = body["placement"] as { readonly reason: string };
  assert.match(placement.reason, /^GPU 0 en düşük yüke sahip: \d\.\d\d\.$/);
  const list = (await ask("/api/v1/tasks", "tr")).body["tasks"] as Readonly<Record<string, { error: string }>>;
  assert.equal(list[id]!.error, turkish);
  const events = await fetch(`${server.url}${path}/events`, {
    headers: { authorization: `Bearer ${server.key}`, "accept-language": "tr" },
  });
  assert.match(await events.text(), /event: failed\n.*\n?.*Görev, gönderildikten/);
});

test("what clients have sent stays as it is, though it reads like a sentence of ours", async () => {
  const text = "The server is stopping and takes no new tasks.";
  const { task_id: id } = await server.run({ text, max_length: 2 });
  const { body } = await ask(`/api/v1/task/${id}?include=text`, "tr");
  assert.equal((body["request"] as { readonly text: string }).text, text);
});

test("a failure as OpenAI's API has it is translated, and what the client has sent beside it is not", () => {
  const english = "The task was not done 0.1 s after its submission.";
  const sent = { metadata: { error: english }, tools: [{ message: english }], output: [{ message: english }] };
  const { error, ...rest } = viewIn("tr", { error: { code: "timeout", message: english }, ...sent });
  assert.deepEqual(error, { code: "timeout", message: "Görev, gönderildikten 0.1 sn sonra bitmemişti." });
  assert.deepEqual(rest, sent);
});

test("why a GPU is as it is is told in the language of each reader", async () => {
  await server.request("POST", "/api/v1/gpus/0/drain", { body: {} });
  await server.became(0, "drained");
  const { body } = await ask("/api/v1/gpus/0", "tr");
  assert.equal(body["status"], "drained");
  const events = body["events"] as readonly { readonly reason: string }[];
  for (const { reason } of events) assert.doesNotMatch(reason, /\b(?:the|is|was|by)\b/i, reason);
  const dry = await ask("/api/v1/predict?dry_run=true", "tr", { text: "a" });
  const { reason, sentence } = (dry.body["waiting"] ?? { reason: "", sentence: dry.body["error"] }) as Readonly<
    Record<string, string>
  >;
  assert.doesNotMatch(sentence!, /\b(?:the|is|was|by)\b/i, `${reason}: ${sentence}`);
});

test("what operators are told as it happens is in the language of each reader", async () => {
  const { body: stream } = await fetch(`${server.url}/api/v1/events?since=2026-01-01T00:00:00Z`, {
    headers: { authorization: `Bearer ${server.key}`, "accept-language": TURKISH },
  });
  let text = "";
  for await (const chunk of stream!.pipeThrough(new TextDecoderStream()))
    if ((text += chunk).includes("drained")) break;
  assert.match(text, /"event":"drained".*"sentence":"admin kullanıcısı boşalttı\."/);
});

const TURKISH_TERMINAL = { LC_ALL: "", LC_MESSAGES: "", LANG: "tr_TR.UTF-8" };

test("a command says what it has to say in the language of the terminal, and JSON as it is", async () => {
  const help = await runCommand(["help", "drain"], { env: TURKISH_TERMINAL });
  assert.match(help.stdout, /^Kullanım: alt-las drain [^]*bir GPU'yu hizmetten al: yeni görev almaz[^]*Seçenekler:/);
  const wrong = await runCommand(["serve", "--port", "x"], { env: TURKISH_TERMINAL });
  assert.match(wrong.stderr, /^hata: '--port <number>' seçeneği için 'x' geçersiz\. 0 ile 65535 arası bir tam sayı/);
  const env = { ...TURKISH_TERMINAL, ALT_LAS_API_KEY: server.key };
  const refused = await runCommand(["gpus", "9", "--url", server.url], { env });
  assert.deepEqual([refused.code, refused.stderr], [1, 'GPU "9" yok; GPU\'lar: 0.\n']);
  const page = await runCommand(["gpus", "0", "--url", server.url], { env });
  assert.match(page.stdout, /^GPU +0: [^]*^Durum +boşaltıldı, başlangıcı 2[^]*^Bellek [^]*^Sıcaklık [^]*^OLAYLAR$/m);
  const json = await runCommand(["gpus", "0", "--json", "--url", server.url], { env });
  const { status, reason } = JSON.parse(json.stdout) as { readonly status: string; readonly reason: string };
  assert.deepEqual([status, reason], ["drained", "Drained by admin."], "programs read it");
});

test("a language that is not there makes an English command line", async () => {
  const { stdout } = await runCommand(["help", "drain"], { env: { ...TURKISH_TERMINAL, LC_ALL: "de_DE.UTF-8" } });
  assert.match(stdout, /^Usage: alt-las drain /);
});

test("`where` says in the language of the terminal which places are used, and why", async (t) => {
  const cwd = newFolder(t);
  const { stdout } = await runCommand(["where", "--data-dir", "data"], { cwd, env: TURKISH_TERMINAL });
  assert.match(stdout, /^Veri klasörü +\/.*\n +\(--data-dir ile adlandırıldı; henüz yok\)$/m);
  assert.match(stdout, /^Yapılandırma +\S+\n +\(varsayılanlar geçerli: .*\)$/m);
  assert.doesNotMatch(stdout, /\b(?:the|no|neither|is|by)\b/);
});

/** Words of English sentences; names of programs, keys and packages have some of them, too. */
const ENGLISH = /(?<![\w.:/-])(?:the|is|are|of|not|has|have|which|cannot|by|none|never|yes)(?![\w./-])/i;

test("backups and the lab say everything in the language of the terminal", async (t) => {
  const cwd = newFolder(t);
  const run = async (...args: string[]): Promise<string> => {
    const { stdout, stderr } = await runCommand(args, { cwd, env: TURKISH_TERMINAL });
    return stdout + stderr;
  };
  writeFileSync(join(cwd, "t.csv"), await run("lab", "make", "--tasks", "20"));
  for (const args of [
    ["lab", "run", "t.csv", "--strategy", "random"],
    ["lab", "run", "t.csv", "--gpus", "x"],
    ["lab", "run", "absent.csv"],
    ["lab", "run", "t.csv", "--speed", "absent.json"],
    ["restore", "absent.tar", "--data-dir", "new"],
    ["restore", "t.csv", "--data-dir", "new"],
    ["add-gpu", "rocm"],
    ["backup", "x.tar", "--data-dir", "d"],
  ])
    assert.doesNotMatch(await run(...args), ENGLISH, args.join(" "));
});
