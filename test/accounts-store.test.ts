/* Users and keys in a file: what every place of them promises. */
import { pino } from "pino";
import { FileAccounts } from "../src/auth/file.ts";
import { FileView } from "../src/auth/file-view.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { exerciseAccounts } from "./kits/accounts.ts";

exerciseAccounts("FileAccounts", (t) => {
  const dataDir = temporaryFolder(t);
  return async () => ({
    store: new FileAccounts(dataDir),
    view: new FileView(dataDir, pino({ level: "silent" }), () => performance.now()),
    close: () => {},
  });
});
