/**
 * A server that hears of the ends of tasks, and believes only ALT_LAS.
 *
 *     ALT_LAS_API_KEY=altlas_... node examples/webhook-receiver.mjs
 *
 * It submits a task of its own to have something to hear of. ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642). Both on
 * one machine, ALT_LAS needs `webhooks: { allow_private: true }`. README.md says how @alt-las/client is installed.
 */
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { AltLas, AltLasError, verifyWebhook } from "@alt-las/client";

const { ALT_LAS_URL: url, ALT_LAS_API_KEY: apiKey, PORT = "3000" } = process.env;
const client = new AltLas({ ...(url && { url }), apiKey });
const secret = await client.webhookSecret();
/** Those that were heard of; a real receiver has them in its database. */
const heard = new Set();

const server = createServer(async (request, response) => {
  try {
    const { type, data } = await verifyWebhook(secret, request.headers, await buffer(request));
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
});

server.listen(Number(PORT), "127.0.0.1", async () => {
  const { port } = server.address();
  console.log(`Listening on http://127.0.0.1:${port}`);
  await client.predict({ text: "Once upon a time", max_length: 32, webhook_url: `http://127.0.0.1:${port}` });
});
