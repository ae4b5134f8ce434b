/* The bytes of files in a folder are kept as every place for them promises. */
import { FolderBytes } from "../src/store/folder-bytes.ts";
import { testFolder } from "./helpers/store.ts";
import { exerciseFileBytes } from "./kits/file-bytes.ts";

exerciseFileBytes("FolderBytes", (t) => {
  const folder = testFolder(t);
  return Promise.resolve(() => Promise.resolve(FolderBytes.of(folder)));
});
