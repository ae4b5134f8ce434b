/** Takes files of a running server away, looks what it does without them, and gives them back. Nothing that it has written is lost by that. */
import { existsSync, renameSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Dice } from "./dice.ts";
import { type Life, type Lives } from "./lives.ts";
import { type Report } from "./report.ts";
import { type World } from "./world.ts";

/** Milliseconds in which a server has to notice. */
const PATIENCE = 10_000;
/** Milliseconds between two looks. */
const LOOK_EVERY = 50;

export interface TheftParts {
  readonly world: World;
  readonly lives: Lives;
  readonly dice: Dice;
  readonly report: Report;
}

/** When it returns the server has ended, and its files are back. */
export async function steal({ world, lives, dice, report }: TheftParts, life: Life): Promise<void> {
  const { databaseFile, dataFolder, admin } = world;
  const log = `${databaseFile}-wal`;
  const loot = dice.pick([databaseFile, log, dataFolder]);
  if (!existsSync(loot)) return;
  const away = `${loot}.away`;
  life.robbed = true;
  renameSync(loot, away);
  report.counts.goneFiles++;
  const noticed = await hasNoticed(life);
  report.check("gone", noticed, `${loot} was moved away, and it is still ready after ${PATIENCE} ms`);
  life.noticed = noticed;
  if (noticed) await expectRefusal(life, report, admin.key);
  await sleep(dice.between(0, 500));
  const isKilled = dice.chance(0.3);
  if (isKilled) await lives.kill(life);
  else await lives.stop(life, false);
  report.check("gone", !existsSync(loot), `${loot} was moved away, and is there again`);
  // A log that is lost for good loses nothing, if the server had the time to save what was in it.
  if (loot === log && noticed && !isKilled && dice.chance(0.5)) return rmSync(away);
  rmSync(loot, { recursive: true, force: true });
  renameSync(away, loot);
}

/** Waits until it is not ready any more, or has ended. */
async function hasNoticed(life: Life): Promise<boolean> {
  const tooLate = performance.now() + PATIENCE;
  while (performance.now() < tooLate && !life.isOver) {
    const answer = await fetch(`${life.url}/readyz`).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.status === 503) return true;
    await sleep(LOOK_EVERY);
  }
  return false;
}

async function expectRefusal({ url }: Life, report: Report, key: string): Promise<void> {
  const answer = await fetch(`${url}/api/v1/predict`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ text: "Is anybody there?", task_type: "stolen" }),
  });
  const body = (await answer.json()) as { code?: string };
  const holds = answer.status === 503 && body.code === "store_unavailable" && answer.headers.has("retry-after");
  report.check("gone", holds, `without its files it answered a submission with ${answer.status}`, body);
}
