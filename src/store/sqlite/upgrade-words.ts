/* The progress of an upgrade as lines of the log. */
import type { News } from "../thread/messages.ts";
import type { UpgradeNews } from "./upgrade.ts";

export function upgradeLine(path: string, news: UpgradeNews): News {
  switch (news.news) {
    case "copying": {
      const fields = { path, copy: news.to, bytes: news.bytes };
      return line("info", fields, "the task database is copied before it is upgraded");
    }
    case "not copied": {
      const fields = { path, copy: news.to, reason: news.reason };
      return line("warn", fields, "the task database is upgraded without a copy of it as it was");
    }
    case "migration": {
      const message = `the task database gets step ${news.step} of ${news.last} of its schema`;
      return line("info", { path, migration: news.file }, message);
    }
    case "progress":
      return line("info", { path }, `brings ${shownCount(news.done)} of ${shownCount(news.total)} tasks over`);
  }
}

function line(level: "info" | "warn", fields: object, message: string): News {
  return { kind: "line", level, fields, message };
}

/** Like "12,000". */
function shownCount(count: number): string {
  return count.toLocaleString("en");
}
