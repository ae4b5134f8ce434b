/** The table of sentences: complete for what clients see, the same places in both languages, and found again in what is shown. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EngineFailure } from "../src/engine/failures.ts";
import { unusable } from "../src/engine/openai/identify.ts";
import { errorOf } from "../src/engine/simulated/faults.ts";
import { UpstreamError } from "../src/engine/upstream/upstream-error.ts";
import { finalError } from "../src/scheduler/attempts.ts";
import type { Attempt, Task } from "../src/task.ts";
import { acceptedLanguage, languageOfTerminal } from "../src/words/language.ts";
import { PhraseBook } from "../src/words/phrase-book.ts";
import { GPU_STATES } from "../src/gpu/facts.ts";
import { isYes } from "../src/words/terminal.ts";
import { inLanguage, turkishPhrases } from "../src/words/words.ts";
import { type Literal, literalsOf } from "./helpers/literals.ts";
import { COMPOSED, isShown, NOT_SHOWN, OF_COMMANDER, ROOMS } from "./helpers/shown-literals.ts";

const ROOT = join(import.meta.dirname, "..");
const TABLE = turkishPhrases();
const LITERALS: ReadonlyMap<string, readonly Literal[]> = new Map(
  globSync("src/**/*.ts", { cwd: ROOT }).map((file) => [file, literalsOf(readFileSync(join(ROOT, file), "utf8"))]),
);

/** A finding about a key comes behind its name, what failed before why; labels have a colon. */
function formsOf(text: string): string[] {
  return [text, `{} ${text}`, `${text}:`, `${text}: {}`, `{} ${text}: {}`];
}

/** The sentence of a finding about the configuration is looked for together with its key. */
function isKnown(file: string, text: string): boolean {
  const isFinding = /^src\/config\/[\w-]*checks\.ts$/.test(file) && /^[a-z].*\.$/s.test(text);
  const forms = isFinding ? [`{} ${text}`] : formsOf(text);
  return forms.some((one) => Object.hasOwn(TABLE, one));
}

test("each sentence that a client or an operator is shown is in the table", () => {
  const missing = globSync([...ROOMS], { cwd: ROOT }).flatMap((file) =>
    LITERALS.get(file)!
      .filter((literal) => isShown(file, literal) && !isKnown(file, literal.text))
      .map(({ text, line }) => `${file}:${line} ${JSON.stringify(text)}`),
  );
  missing.push(...COMPOSED.filter((text) => !Object.hasOwn(TABLE, text) && !Object.hasOwn(TABLE, `${text}:`)));
  assert.deepEqual(missing, []);
});

test("each heading of a table in a terminal is in the table of words", () => {
  const same = new Set(["GPU", "MODEL", "UUID", "POST"]);
  const missing = [...LITERALS].flatMap(([file, literals]) =>
    /"[./\w-]*table\.ts"/.test(readFileSync(join(ROOT, file), "utf8"))
      ? literals
          .map(({ text }) => text)
          .filter((text) => /^[A-Z][A-Z ]{2,}$/.test(text) && !same.has(text) && !Object.hasOwn(TABLE, text))
      : [],
  );
  assert.deepEqual(missing, []);
});

test("the table has nothing that is said nowhere", () => {
  const contents = readFileSync(join(ROOT, "docs/README.md"), "utf8");
  const headings = Array.from(contents.matchAll(/^## (.+)$/gm), ([, heading]) => heading!);
  const doctors = globSync("src/doctor/*.ts", { cwd: ROOT }).map((file) => readFileSync(join(ROOT, file), "utf8"));
  const labels = doctors.flatMap((text) => text.match(/\b[a-z_]+\b/g) ?? []).map((name) => name.replaceAll("_", " "));
  const said = new Set([
    ...[...LITERALS.values()].flat().flatMap(({ text }) => formsOf(text)),
    ...OF_COMMANDER,
    ...COMPOSED,
    ...headings,
    ...labels.flatMap((name) => [`${name.replace(/ bytes$/, "")}:`, name.toUpperCase()]),
  ]);
  const idle = [...Object.keys(TABLE), ...NOT_SHOWN].filter((text) => !said.has(text));
  assert.deepEqual(idle, []);
});

test("both languages have the same places", () => {
  for (const [english, turkish] of Object.entries(TABLE)) {
    const count = english.split("{}").length - 1;
    const places = [
      ...new Set(Array.from(turkish.matchAll(/\{(\d+)(?::word)?\}/g), ([, place]) => `{${place}}`)),
    ].toSorted();
    const wanted = Array.from({ length: count }, (_, index) => `{${index + 1}}`).toSorted();
    assert.deepEqual(places, wanted, english);
  }
});

/** Words that no Turkish sentence has, outside of names in it. */
const LEFT_OVER =
  /(?<![\p{L}\d_.:="/<-])(?:the|is|are|must|of|not|has|have|with|and|or|which|cannot|may|that)(?![\p{L}\d_.:="/>-])/u;

test("no Turkish phrase has English left in it, or is empty", () => {
  for (const [english, turkish] of Object.entries(TABLE)) {
    assert.doesNotMatch(turkish, LEFT_OVER, english);
    assert.notEqual(turkish.trim(), "", english);
  }
});

test("a predicate has no English left in it behind the name of a field", () => {
  for (const english of Object.keys(TABLE).filter((one) => /^(?:must|names|needs) .*[^.]$/s.test(one)))
    assert.doesNotMatch(inLanguage("tr", `input[0].x ${english.replaceAll("{}", '"v"')}.`), LEFT_OVER, english);
});

test("no suffix stands at a place, whose value nobody knows", () => {
  for (const turkish of Object.values(TABLE)) assert.doesNotMatch(turkish, /\{[1-9](?::word)?\}['’]\p{Ll}/u, turkish);
});

test("each phrase is found again in a sentence that was made of it", () => {
  for (const [english, turkish] of Object.entries(TABLE)) {
    const values: string[] = [];
    const sentence = english.replaceAll("{}", () => `v${values.push(`v${values.length}`) - 1}`);
    const expected = turkish.replaceAll(/\{(\d+)(?::word)?\}/g, (_all, place: string) => values[Number(place) - 1]!);
    assert.equal(inLanguage("tr", sentence), expected, english);
  }
});

test("values are translated where they are phrases, and sentences one by one", () => {
  const book = new PhraseBook([
    ["{} must be {}; got {}.", "{1} şu olmalı: {2}; verilen: {3}."],
    ["an integer{}", "tam sayı{1}"],
    [" from {} to {}", ", {1} ile {2} arası"],
    ["Try again.", "Yeniden deneyin."],
  ]);
  assert.equal(
    book.translated('max_length must be an integer from 1 to 5; got "an integer". Try again.'),
    'max_length şu olmalı: tam sayı, 1 ile 5 arası; verilen: "an integer". Yeniden deneyin.',
  );
  assert.equal(book.translated("What nobody knows. Try again."), "What nobody knows. Yeniden deneyin.");
  assert.equal(book.translated("What nobody knows."), "What nobody knows.");
});

test("a value that is one word stays as it is, though the table has that word", () => {
  for (const word of Object.keys(TABLE).filter((english) => /^[\w-]+$/.test(english))) {
    const turkish = inLanguage("tr", `User ${word} has another password; its keys go on.`);
    assert.equal(turkish, inLanguage("tr", "User V has another password; its keys go on.").replace("V", word));
    const sentences = inLanguage("tr", `There are no users. Key ${word} is revoked.`);
    assert.equal(sentences, inLanguage("tr", "There are no users. Key V is revoked.").replace("V", word));
  }
});

/** Words that are a whole text: a cell of a table, or the description of an option. */
const SAID_ALONE: readonly string[] = ["another", "configuration", "no", "none", "nothing", "requests", "whose", "yes"];

/** Why GPUs take nothing, in a word; a task that waits for them says so. */
const STATES: readonly string[] = ["busy", ...GPU_STATES.filter((state) => state !== "ready")];

/** Sentences with a place for a word of ours, by the words that come there. */
const OF_WORDS: Readonly<Record<string, readonly string[]>> = {
  "Too many wrong passwords came from this address; try again in 1 {}.": ["second", "seconds"],
  "The server at x has not answered within 1 {}.": ["second", "seconds"],
  "removed: 1 task, with batches and webhooks; 1 {} of usage made nameless": ["sum", "sums"],
  "{} since 2026-11-30T00:00:00.000Z": STATES.filter((state) => state !== "busy"),
  "{}, 2 died since the server started": ["none"],
  "AMD at 1, driver {}": ["none"],
  "t: 1 B, about 1 rows and 1 dead ones, vacuumed {}": ["never"],
  "Of the table t at x, 9 % are dead rows, and it was vacuumed {}: autovacuum is off or does not keep up.": ["never"],
  "  V (compute capability {}): the package's PTX is compiled for it here, with NVIDIA's ptxas.": ["unknown"],
  "sm_90 (compute capability {})": ["unknown"],
  "This is not a valid HTTP request: {}.": ["unknown"],
  "1 of 3 GPUs is still {}.": ["loading"],
  "2 of 3 models are still {}.": ["loading"],
  "The clock of V is 9 s {} the server's: set it by NTP. Times of its events are wrong, and certificates may be refused.":
    ["behind"],
  " 1 task without an answer {} left out.": ["was", "were"],
  "x is missing; it must be {}.": ["given"],
  "The task was cut off {}, the last time because its worker died (tasks.max_attempts is 1).": ["once"],
  "The task waited for 9 s and was refused by full servers {}, the last one that of GPU 0 (gpu.multi_gpu.queue_timeout).":
    ["once"],
  "ada may have 9 {} a minute (x). Try again in 9 s.": ["submissions", "tokens"],
  "ada may have 9 {} a day (x): 9 are used, and this needs about 9. It resets at x. Try again in 9 s.": [
    "token",
    "tokens",
    "GPU-second",
    "GPU-seconds",
  ],
  "ada may have 9 tokens a {} (x): 9 are used, and this needs about 9. It resets at x. Try again in 9 s.": [
    "day",
    "month",
  ],
  "The server behind this GPU takes no logprobs for {}.": ["chats"],
  "batch has 9 items, which need about 9 {} together. ada may have 9 tokens a day (x).": ["tokens", "GPU-seconds"],
  "9 {} wait (gpu.multi_gpu.max_queue_size)": ["tasks"],
  "Nothing that it may go to takes tasks: GPU 0 ({}).": STATES,
  "Nothing that it may go to takes tasks: GPU 0, 2 ({}), GPU 1 (its server is full).": STATES,
  "text cannot be {} by GPU 0; a model that generates text could.": [
    "continued",
    "answered",
    "called",
    "told",
    "honoured",
  ],
};

test("a word of ours is in Turkish where its sentence has a place for it", () => {
  for (const [sentence, words] of Object.entries(OF_WORDS))
    for (const word of words) {
      const [before, after] = inLanguage("tr", sentence.replace("{}", "V9")).split("V9") as [string, string];
      assert.equal(inLanguage("tr", sentence.replace("{}", word)), before + TABLE[word]! + after, sentence);
    }
  const untried = Object.entries(TABLE).flatMap(([english, turkish]) => {
    const wanted = new RegExp(english.split("{}").map(RegExp.escape).join(".*"));
    return turkish.includes(":word}") && !Object.keys(OF_WORDS).some((one) => wanted.test(one)) ? [english] : [];
  });
  assert.deepEqual(untried, []);
  const placed = new Set([...SAID_ALONE, ...Object.values(OF_WORDS).flat()]);
  const words = Object.keys(TABLE).filter((english) => /^[a-z]+$/.test(english));
  assert.deepEqual(
    words.filter((word) => !placed.has(word)),
    [],
  );
});

test("a yes is one in English, or in the language of the question", () => {
  const answers = ["y", " Yes ", "e", "evet", "n", "yet", ""];
  assert.deepEqual(
    answers.filter((answer) => isYes(answer, "en")),
    ["y", " Yes "],
  );
  assert.deepEqual(
    answers.filter((answer) => isYes(answer, "tr")),
    ["y", " Yes ", "e", "evet"],
  );
});

test("of places side by side each has its own value, wherever it stands in the other language", () => {
  const book = new PhraseBook([
    ["{}{} must be given{}{}.", "{2} için {1} verilmeli{4}{3}."],
    ["one of {}", "şunlardan biri: {1}"],
    [" or {}", "; ya da {1}"],
    [", {} times", ", {1} kez"],
    [" to {}", ", alıcı {1}"],
  ]);
  assert.equal(
    book.translated("one of a, b or c must be given, 3 times to d."),
    "; ya da c için şunlardan biri: a, b verilmeli, alıcı d, 3 kez.",
  );
  assert.equal(book.translated("x must be given."), "x için  verilmeli.", "the last place has what nobody knows");
});

test("an engine's failure is translated within the error of a task, but not the words of the server behind it", () => {
  const at = "http://10.0.0.5:8000";
  const cutOff = "Görev 3 kez yarıda kesildi; son nedeni: GPU'su arızalandı (tasks.max_attempts: 3)";
  for (const [failure, turkish] of [
    [
      unusable(new UpstreamError(503, "the model is at 5 % here"), { where: at, hasKey: true }),
      `${at} adresindeki sunucu hazır değil: HTTP 503: the model is at 5 % here.`,
    ],
    [
      unusable(new UpstreamError(null, "it did not send its answer within 30 s"), { where: at, hasKey: true }),
      `${at} adresindeki sunucu şu an kullanılamıyor: yanıtını 30 sn içinde göndermedi.`,
    ],
    [
      new EngineFailure("gpu_lost", `vLLM at ${at} failed: HTTP 500: the weights at home must be loaded.`),
      `${at} adresindeki vLLM başarısız oldu: HTTP 500: the weights at home must be loaded.`,
    ],
    [errorOf({ kind: "cut_off" }, 3), "Benzetilmiş GPU'nun bağlantısı kesildi (3 token sonra)."],
  ] as const) {
    const lost: Attempt = { gpuId: 0, startedAt: 0, endedAt: 1, reason: "gpu_lost", error: failure.message };
    const { sentence } = finalError({ attempts: [lost, lost, lost] } as unknown as Task, 3)!;
    assert.equal(inLanguage("tr", sentence), `${cutOff}: ${turkish}`);
  }
});

test("a phrase that says little takes nothing apart that nobody knows", () => {
  for (const text of [
    "the size of the file is wrong",
    "cudaMalloc failed: out of memory, or not there at all.",
    "the model is loading.",
    "first line of a page\n  second of one, or another",
  ])
    assert.equal(inLanguage("tr", text), text);
});

test("a hostile sentence is not read in all its ways", () => {
  const book = new PhraseBook(Object.entries(TABLE));
  const pieces = [...new Set(Object.keys(TABLE).flatMap((english) => english.split("{}")))];
  for (const hostile of [
    `${"must be must be; got ".repeat(80)}. `.repeat(2),
    "a of b: c. ".repeat(360),
    `must be ${"left out, as of the task of ".repeat(140)}; got it.`,
    `${": , and ; or (of) must be ; got ".repeat(120)}.`,
    pieces.join("").slice(0, 4000),
    pieces.toReversed().join(" ").slice(0, 4000),
  ]) {
    book.translated(hostile);
    assert.ok(book.characters < 2_000_000, `${book.characters}: ${hostile.slice(0, 50)}`);
  }
});

test("no sentence of ours is too long to be read in all its ways", () => {
  const book = new PhraseBook(Object.entries(TABLE));
  for (const english of Object.keys(TABLE)) {
    book.translated(english.replaceAll("{}", "some value"));
    assert.ok(book.characters < 300_000, `${book.characters}: ${english}`);
  }
});

test("a text that was translated is not taken apart again while others like it come", () => {
  const book = new PhraseBook(Object.entries(TABLE));
  const english = Array.from({ length: 1001 }, (_, n) => `There is no task ${n}; a task_id is a UUID.`);
  const turkish = book.translated(english[0]!);
  book.translated(english[1]!);
  assert.ok(book.characters > 0);
  assert.equal(book.translated(english[0]!), turkish);
  assert.equal(book.characters, 0);
  for (const one of english.slice(1)) book.translated(one);
  book.translated(english[0]!);
  assert.ok(book.characters > 0, "it was forgotten for newer ones");
});

test("a GPU that was drawn among equals has its whole reason translated", () => {
  for (const reason of [
    "has the lowest load, 0.25, drawn among 2 equals",
    "has had the first 1,000 characters of this prompt and a load within 0.1 of the least, 0.25, drawn among 2 equals",
    "has the most free memory, 4.00 GiB, drawn among 2 equals",
  ])
    assert.doesNotMatch(inLanguage("tr", `GPU 0 ${reason}.`), /drawn|equals|has/);
});

test("a GPU whose machine stops was drained by no user", () => {
  assert.equal(inLanguage("tr", "Drained by ada."), "ada kullanıcısı boşalttı.");
  const stopped = inLanguage("tr", "Drained by the stop of machine one.");
  assert.equal(stopped, "one makinesi durdurulduğu için boşaltıldı.");
});

test("the language is the one with the highest weight that there is, and English where none is asked for", () => {
  const cases: readonly (readonly [string | undefined, string])[] = [
    [undefined, "en"],
    ["", "en"],
    ["tr", "tr"],
    ["tr-TR", "tr"],
    ["TR-tr,en;q=0.5", "tr"],
    ["tr-TR,tr;q=0.9,en-US;q=0.8,en;q=0.7", "tr"],
    ["en;q=0.5, tr;q=0.9", "tr"],
    ["en, tr", "en"],
    ["tr;q=0", "en"],
    ["de", "en"],
    ["de, tr;q=0.4", "tr"],
    ["*", "en"],
    ["de, *;q=0.5, tr;q=0.3", "en"],
    ["trv", "en"],
    ["tr;q=nonsense", "en"],
    [`${"x,".repeat(400)}tr`, "en"],
  ];
  for (const [header, language] of cases) assert.equal(acceptedLanguage(header), language, header);
});

test("a command line speaks the language of LC_ALL, LC_MESSAGES or LANG, the first that is set", () => {
  assert.equal(languageOfTerminal({}), "en");
  assert.equal(languageOfTerminal({ LANG: "tr_TR.UTF-8" }), "tr");
  assert.equal(languageOfTerminal({ LANG: "tr" }), "tr");
  assert.equal(languageOfTerminal({ LANG: "C.UTF-8" }), "en");
  assert.equal(languageOfTerminal({ LANG: "xx_YY.UTF-8" }), "en");
  assert.equal(languageOfTerminal({ LC_ALL: "", LC_MESSAGES: "tr_TR", LANG: "en_US.UTF-8" }), "tr");
  assert.equal(languageOfTerminal({ LC_ALL: "C", LANG: "tr_TR.UTF-8" }), "en");
});
