/**
 * Node's `http`. To import it reads all that it exports, and one of those is WebSocket, for which Node loads an HTTP client of its own: a tenth
 * of a start, and some MiB.
 */
export const http = process.getBuiltinModule("node:http");
