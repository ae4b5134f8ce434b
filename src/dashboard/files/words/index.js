/** All words. An area's file has the same keys in both languages; test/dashboard-words.test.ts holds that, and their places in braces. */
import * as accounts from "./accounts.js";
import * as api from "./api.js";
import * as audit from "./audit.js";
import * as common from "./common.js";
import * as gpus from "./gpus.js";
import * as models from "./models.js";
import * as now from "./now.js";
import * as playground from "./playground.js";
import * as settings from "./settings.js";
import * as tasks from "./tasks.js";
import * as usage from "./usage.js";

export const ENGLISH = {
  ...common.en,
  ...now.en,
  ...gpus.en,
  ...tasks.en,
  ...playground.en,
  ...models.en,
  ...settings.en,
  ...api.en,
  ...usage.en,
  ...accounts.en,
  ...audit.en,
};

/** @type {typeof ENGLISH} */
export const TURKISH = {
  ...common.tr,
  ...now.tr,
  ...gpus.tr,
  ...tasks.tr,
  ...playground.tr,
  ...models.tr,
  ...settings.tr,
  ...api.tr,
  ...usage.tr,
  ...accounts.tr,
  ...audit.tr,
};
