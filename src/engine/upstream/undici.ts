/**
 * The parts of undici that ask a server. To import the whole loads a hundred modules more, with caches, mocks and WebSockets: 13 MiB of every
 * worker that asks one. undici has no names of its own for its parts, so their paths hold for the version in package.json.
 */
import { createRequire } from "node:module";
import type * as Undici from "undici";
import { believeInherited } from "../../common/own-authority.ts";

believeInherited();

const require = createRequire(import.meta.url);

export const Client = require("undici/lib/dispatcher/client.js") as typeof Undici.Client;
export const Pool = require("undici/lib/dispatcher/pool.js") as typeof Undici.Pool;
export const buildConnector = require("undici/lib/core/connect.js") as typeof Undici.buildConnector;
export const errors = require("undici/lib/core/errors.js") as typeof Undici.errors;
