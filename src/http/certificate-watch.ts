/** Takes up a renewed certificate by itself: programs that renew one often cannot send a signal to who uses it. */
import type { FastifyInstance } from "fastify";
import { FileWatch } from "../common/file-watch.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../log/log.ts";
import { promiseTls } from "./hsts.ts";
import { renewable, type Renewed } from "./tls.ts";

/** Sets up a server's own TLS beside the encryption. */
export function setUpTls(app: FastifyInstance, own: Renewed): void {
  renewable(app, own);
  watchCertificate(app, own.settings, own.log);
  promiseTls(app, own.settings);
}

/**
 * Watches the files while the server runs. The certificate and its key are two files, which are replaced one after the other: they are
 * read when neither has changed since the look before.
 */
function watchCertificate(app: FastifyInstance, { cert, key, client_ca }: Config["server"]["tls"], log: Logger): void {
  if (cert === undefined || key === undefined) return;
  const versions = new Map<string, string>();
  let changed = false;
  const seen = (path: string, version: string): void => {
    if (versions.get(path) !== version) {
      versions.set(path, version);
      changed = true;
    } else if (changed) {
      changed = false;
      renew(app, log);
    }
  };
  let watches: readonly FileWatch[] = [];
  app.addHook("onReady", async () => {
    const files = [cert, key, client_ca].filter((path) => path !== undefined);
    watches = files.map((path) => new FileWatch(path, { seen: (version) => seen(path, version) }));
  });
  app.addHook("onClose", async () => watches.forEach((watch) => watch.stop()));
}

function renew(app: FastifyInstance, log: Logger): void {
  const sentence = app.renewCertificate();
  if (sentence === null) return;
  if (app.certificateTrouble() === null) log.info(sentence);
  else log.error(sentence);
}
