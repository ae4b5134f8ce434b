/**
 * A server that hears of the ends of tasks, and believes only ALT_LAS.
 *
 *     ALT_LAS_API_KEY=altlas_... node examples/webhook-receiver.mjs
 *
 * It submits a task of its own to have something to hear of. ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642). Both on
 * one machine, ALT_LAS needs `webhooks: { allow_private: true }`. README.md says how @alt-las/client is installed.
 */
import { createServer } from "node:http";
import { AltLas, AltLasError, verifyWebhook } from "@alt-las/client";

const { ALT_LAS_URL: url, ALT_LAS_API_KEY: apiKey, PORT = "3000" } = process.env;
const client = new AltLas({ ...(url && { url }), apiKey });
const secret = await client.webhookSecret();
/** Those that were heard of; a real receiver has them in its database. */
const heard = new Set();

/** Bytes of a webhook; a stranger must not fill the memory. */
const LONGEST = 16 * 1024 * 1024;

const server = createServer((request, response) => {
  receive(request, response).catch((error) => {
    // Thrown on, it would end the program: a connection that is cut in the middle of a body, or a body that is too long.
    console.log(`Broken off: ${error.message}`);
    response.destroy();
  });
});

async function receive(request, response) {
  const body = await bodyOf(request);
  try {
    const { type, data } = await verifyWebhook(secret, request.headers, body);
    const id = request.headers["webhook-id"];
    // The same event comes again when the answer to it was lost.
    if (!heard.has(id)) {
      heard.add(id);
      console.log(`${type} ${data.task_id ?? data.batch_id}: ${JSON.stringify(data.result?.text ?? data.error)}`);
    }
    response.writeHead(204).end();
  } catch (error) {
    if (!(error instanceof AltLasError)) throw error;
    console.log(`Refused: ${error.message}`);
    response.writeHead(400).end();
  }
}

async function bodyOf(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > LONGEST) throw new Error(`a body of more than ${LONGEST} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

server.listen(Number(PORT), "127.0.0.1", async () => {
  const { port } = server.address();
  console.log(`Listening on http://127.0.0.1:${port}`);
  await client.predict({ text: "Once upon a time", max_length: 32, webhook_url: `http://127.0.0.1:${port}` });
});
