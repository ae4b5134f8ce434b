/** Responses, by three libraries for Node in one process. */
import { steps as aiSdk } from "./responses-ai-sdk.mjs";
import { steps as langchain } from "./responses-langchain.mjs";
import { steps as openai } from "./responses-openai.mjs";
import { reportEach } from "./steps.mjs";

await reportEach({ openai, aiSdk, langchain });
