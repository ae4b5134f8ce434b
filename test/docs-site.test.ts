/** The documentation at /docs/: what is there, who gets it, and that each link in it leads somewhere. */
import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";
import { type Section } from "../src/docs/sections.ts";
import { readSite } from "../src/docs/site.ts";
import { CONTENTS, readSources } from "../src/docs/sources.ts";
import { addressOf, linkTo, targetOf } from "../src/docs/addresses.ts";
import { refusal, testConfig, testServer } from "./helpers/http.ts";
import { ROOT } from "./helpers/server.ts";

const SOURCES = await readSources(ROOT);
const SITE = await readSite();

/** The text of what is at an address. */
async function read(address: string): Promise<string> {
  return (await SITE.get(address))!.body.toString();
}

/** The pages with what they link to, as browsers find it. */
async function pages(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const address of SITE.addresses) {
    const asset = (await SITE.get(address))!;
    if (asset.type.startsWith("text/html")) found.set(address, asset.body.toString());
  }
  return found;
}

const unescaped = (text: string): string =>
  text.replaceAll(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));

test("each link and picture of each page is there, and leads to a heading where it names one", async () => {
  const all = await pages();
  assert.ok(all.size > 35, `${all.size} pages`);
  for (const [address, html] of all)
    for (const [, written] of html.matchAll(/(?:href|src|data-index)="([^"]*)"/g)) {
      const href = unescaped(written!);
      if (/^https?:/.test(href)) continue;
      const url = new URL(href, `http://a/docs/${address}`);
      // The dashboard is above.
      if (url.pathname === "/") continue;
      const target = decodeURI(url.pathname).replace(/^\/docs\//, "");
      assert.notEqual(await SITE.get(target), null, `${address} links to ${href}`);
      if (url.hash !== "" && url.hash !== "#text" && url.hash !== "#pages")
        assert.ok(all.get(target)!.includes(`id="${decodeURI(url.hash.slice(1))}"`), `${address} links to ${href}`);
    }
});

test("each picture that a page of docs/ shows is shown by it here, too", async () => {
  for (const [path, { tokens }] of SOURCES.documents) {
    const written = JSON.stringify(tokens).match(/"type":"image"/g)?.length ?? 0;
    const shown = (await read(addressOf(path))).match(/<img /g)?.length ?? 0;
    if (path.startsWith("docs/")) assert.equal(shown, written, path);
  }
});

test("a link from a page leads out of the documentation, wherever the server was started", () => {
  const before = process.cwd();
  process.chdir("/");
  try {
    assert.deepEqual([linkTo("a.md", ".."), linkTo("files/bench/a.md", "..")], ["..", "../../.."]);
  } finally {
    process.chdir(before);
  }
});

test("every page of docs/ is named by the page that groups them, each once", () => {
  const named = new Set(SOURCES.documents.get(CONTENTS)!.links.map((href) => targetOf(CONTENTS, href)?.path));
  // Other languages begin at a page of their own.
  const own = [...SOURCES.documents.keys()].filter((path) => posix.dirname(path) === "docs" && path !== CONTENTS);
  assert.deepEqual(
    own.filter((path) => !named.has(path)),
    [],
  );
});

test("pages have nothing inline that the policy would refuse, and name no other host but in links", async () => {
  for (const [address, html] of await pages()) {
    const rest = html.replaceAll(/<pre.*?<\/pre>/gs, "");
    assert.doesNotMatch(rest, /<style|<script(?! (?:type="module" )?src=)|\sstyle=|\son[a-z]+=/, address);
    assert.doesNotMatch(rest, /src="https?:/, address);
    assert.match(html, /<title>[^<]+ – ALT_LAS<\/title>/, address);
  }
});

test("the search finds what is on the pages, by headings that are there", async () => {
  const sections = JSON.parse(await read("site/search.json")) as Section[];
  const drill = sections.find(({ heading }) => heading === "The drill");
  assert.deepEqual([drill?.address, drill?.page], ["operating.md#the-drill", "Operating"]);
  assert.ok(sections.some(({ text }) => text.includes("least_loaded")));
  for (const { address } of sections) assert.notEqual(await SITE.get(address.split("#")[0]!), null, address);
});

test("everybody gets the pages, below any path, and what a browser has is not sent again", async (t) => {
  const config = testConfig();
  const { app } = testServer(t, { ...config, server: { ...config.server, base_path: "/alt-las" } });
  for (const url of ["/docs", "/alt-las/docs", "/docs?a=/"]) {
    const { statusCode, headers } = await app.inject(url);
    assert.deepEqual([statusCode, headers.location], [302, "/alt-las/docs/"], url);
  }
  const page = await app.inject("/alt-las/docs/api.md");
  assert.equal(page.statusCode, 200);
  assert.equal(page.headers["content-type"], "text/html; charset=utf-8");
  assert.match(
    String(page.headers["content-security-policy"]),
    /^default-src 'none'; script-src 'self'; style-src 'self'/,
  );
  assert.doesNotMatch(page.body, /(?:href|src)="\//);
  const headers = { "if-none-match": String(page.headers.etag) };
  assert.equal((await app.inject({ url: "/docs/api.md", headers })).statusCode, 304);
  const picture = await app.inject({ url: "/docs/images/now.png", headers: { "accept-encoding": "gzip" } });
  assert.deepEqual([picture.headers["content-type"], picture.headers["content-encoding"]], ["image/png", undefined]);
  const drawing = await app.inject("/docs/images/lab-equal.svg");
  assert.deepEqual(
    [drawing.headers["content-type"], drawing.headers["content-security-policy"]],
    ["image/svg+xml", "default-src 'none'; style-src 'unsafe-inline'"],
  );
  assert.equal((await app.inject("/docs/")).body, (await app.inject("/docs/README.md")).body);
  assert.equal((await app.inject("/docs/api")).headers.location, "../#/api");
});

test("no path leads out of the documentation", async (t) => {
  const { app } = testServer(t);
  for (const path of [
    "nothing.md",
    "../package.json",
    "%2e%2e/package.json",
    "files/package.json",
    "files/src/main.ts",
    "__proto__",
  ])
    refusal(await app.inject(`/docs/${path}`), 404, "not_found");
});

test("dashboard.enabled: false leaves /docs/ a 404, too", async (t) => {
  const { app } = testServer(t, { ...testConfig(), dashboard: { enabled: false } });
  refusal(await app.inject("/docs/"), 404, "not_found");
});

test("around a Turkish page all is Turkish, its own pages come first, and each page leads to its twin", async () => {
  const turkish = await read("tr/getting-started.md");
  assert.match(turkish, /<html lang="tr">/);
  assert.match(turkish, /<nav id="pages" aria-label="Sayfalar"><h2>Türkçe<\/h2>/);
  assert.match(turkish, /placeholder="Ara \( \/ \)"/);
  assert.match(turkish, /data-several="\{\} bölüm bulundu"/);
  assert.match(turkish, /<a lang="en" hreflang="en" href="\.\.\/getting-started\.md">English<\/a>/);
  assert.doesNotMatch(turkish, />(?:Pages|On this page|To the text)<|Link to this part/);
  const english = await read("getting-started.md");
  assert.match(english, /<a lang="tr" hreflang="tr" href="tr\/getting-started\.md">Türkçe<\/a>/);
  assert.match(english, /data-several="\{\} parts found"/);
  assert.doesNotMatch(await read("gpus.md"), /hreflang/);
});
