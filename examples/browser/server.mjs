/**
 * A web page that shows answers as they are written. The key stays here: the page gets an address with a ticket for each stream.
 *
 *     npm start -- --config examples/browser/config.yaml
 *     ALT_LAS_API_KEY=altlas_... node examples/browser/server.mjs
 *
 * Then open http://localhost:3000. ALT_LAS_URL says where the server is, as browsers reach it (default: http://127.0.0.1:8642).
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { AltLas, AltLasError } from "@alt-las/client";

const { ALT_LAS_URL: url, ALT_LAS_API_KEY: apiKey, PORT = "3000" } = process.env;
const client = new AltLas({ ...(url && { url }), apiKey });
const page = await readFile(new URL("page.html", import.meta.url));

const server = createServer(async (request, response) => {
  if (request.method === "GET" && request.url === "/")
    return response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
  if (request.method !== "POST" || request.url !== "/ask") return response.writeHead(404).end();
  try {
    const { task_id } = await client.predict({ text: await text(request), max_length: 64 });
    response.end(await client.eventsUrl(task_id));
  } catch (error) {
    response.writeHead(502).end(error instanceof AltLasError ? error.message : "Something went wrong.");
  }
});
server.listen(Number(PORT), "localhost", () => console.log(`Open http://localhost:${server.address().port}`));
