/**
 * Two GPUs by the type of a task, and why each task went where it did.
 *
 *     npm start -- --config examples/two-gpus/config.yaml
 *     ALT_LAS_API_KEY=altlas_... node examples/two-gpus/two-gpus.mjs
 *
 * Without a GPU the two CPU devices stand in. ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642).
 */
import { AltLas } from "@alt-las/client";

const { ALT_LAS_URL: url, ALT_LAS_API_KEY: apiKey } = process.env;
const client = new AltLas({ ...(url && { url }), apiKey });

const types = ["story", "summary", "story", "summary", "poem"];
const tasks = await Promise.all(
  types.map((task_type) => client.predictAndWait({ text: `Write a ${task_type}.`, task_type, max_length: 16 })),
);
for (const { task_type, placement } of tasks)
  console.log(`${task_type} ran on GPU ${placement.gpu_id}: ${placement.reason}`);
