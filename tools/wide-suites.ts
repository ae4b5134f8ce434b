/** The suites of slow tests, and what each of them looks after. */
import { spawnSync } from "node:child_process";
import { matchesGlob } from "node:path";

export interface Suite {
  readonly name: string;
  /** Names of files in test/wide, without their end. */
  readonly tests: readonly string[];
  /** Globs of the files whose change can break it; its tests and what `EVERY` lists count as well. */
  readonly dependsOn: readonly string[];
  /** It waits most of the time, or computes on one core: it runs beside others, one file at a time. */
  readonly beside?: true;
}

/** What can break every suite. */
const EVERY = ["package-lock.json", "bin/**", "src/*.ts", "test/helpers/**", "tools/real-models/**", ".ci/**"];

/** They begin in this order: first those with a file that takes longest, as it would run alone at the end. */
export const SUITES: readonly Suite[] = [
  {
    name: "deploy",
    beside: true,
    tests: ["deploy-cluster", "deploy-files", "deploy-image"],
    dependsOn: [
      ".dockerignore",
      "deploy/**",
      "src/cluster/**",
      "package.json",
      "src/backup/**",
      "src/cli/*.ts",
      "src/cli/remote/ready.ts",
      "src/common/{data-folder,installation,places}.ts",
      "tools/pack/**",
      "tools/pack.ts",
    ],
  },
  {
    name: "form-clients",
    beside: true,
    tests: ["form-clients"],
    dependsOn: ["src/engine/simulated/**", "src/{grammar,http}/**", "test/clients/**", "tools/test-clients.ts"],
  },
  {
    name: "bench",
    tests: ["bench", "bench-quick", "bench-quick-answers", "bench-quick-streams"],
    dependsOn: ["bench/**", "src/{http,scheduler,store,tasks}/**"],
  },
  {
    name: "browser",
    tests: ["browser", "browser-api", "browser-now", "browser-settings", "browser-accounts", "browser-sign-on"],
    dependsOn: ["src/dashboard/**", "src/http/**"],
  },
  {
    name: "clients",
    tests: [
      "document-client",
      "example-clients",
      "examples",
      "model-by-name",
      "model-pull",
      "openai-clients",
      "readme",
      "remote",
      "turkish-documents",
    ],
    dependsOn: [
      "README*.md",
      "docs/**",
      "examples/**",
      "src/cli/**",
      "src/config/**",
      "src/http/**",
      "src/models/**",
      "test/clients/**",
      "tools/test-clients.ts",
    ],
  },
  {
    name: "api-clients",
    tests: ["anthropic-clients", "durable-clients", "ollama-clients", "responses-clients"],
    dependsOn: [
      "src/engine/simulated/**",
      "src/{batch-files,files,grammar,http,scheduler,store,tasks}/**",
      "test/clients/**",
      "tools/test-clients.ts",
    ],
  },
  {
    name: "own-clients",
    tests: ["own-clients-packages", "own-clients-python", "own-clients-restarts", "own-clients-typescript"],
    dependsOn: ["clients/**", "src/http/**", "src/store/**", "src/tasks/**", "test/clients/own_restarts.py"],
  },
  {
    name: "own-examples",
    tests: ["own-examples"],
    dependsOn: ["clients/**", "examples/**", "src/http/**"],
  },
  {
    name: "documents",
    tests: ["docs-commands", "docs-programs", "spelling"],
    dependsOn: [
      "*.md",
      "clients/**",
      "config.example.yaml",
      "docs/**",
      "src/{cli,config,http,lab}/**",
      "test/clients/**",
      "tools/spelling.toml",
    ],
  },
  {
    name: "pack",
    beside: true,
    tests: ["pack", "release"],
    dependsOn: ["package.json", "src/**", "tools/{pack,release}/**", "tools/{pack,release}.ts", "CHANGELOG.md"],
  },
  {
    name: "installed",
    beside: true,
    tests: ["installed"],
    dependsOn: [
      "package.json",
      "src/common/{npm,rename,system}.ts",
      "src/control/**",
      "tools/pack/**",
      "tools/pack.ts",
    ],
  },
  {
    name: "cluster",
    tests: ["cluster", "cluster-keys", "cluster-revocations"],
    dependsOn: [
      "deploy/nats.conf",
      "docs/cluster.md",
      "src/cli/{cluster,cluster-init}.ts",
      "src/cli/remote/cluster.ts",
      "src/cluster/**",
      "src/gpu/{any-pool,facts,pool,status}.ts",
      "src/http/cluster.ts",
      "src/scheduler/**",
    ],
  },
  {
    name: "cluster-leader",
    beside: true,
    tests: ["cluster-leader", "cluster-standby", "cluster-upgrade"],
    dependsOn: [
      "src/member.ts",
      "src/auth/**",
      "src/http/standby/**",
      "src/http/{stream-tickets,tickets}.ts",
      "src/{cluster,scheduler,tasks}/**",
      "src/store/postgres/**",
      "test/fixtures/servers/**",
    ],
  },
  {
    name: "cluster-chaos",
    beside: true,
    tests: ["cluster-chaos", "cluster-model"],
    dependsOn: ["chaos/**", "src/{cluster,scheduler,tasks}/**"],
  },
  {
    name: "proxies",
    tests: ["proxies"],
    dependsOn: ["docs/proxies.md", "src/http/**"],
  },
  {
    name: "fuzz",
    beside: true,
    tests: ["document-lint", "fuzz"],
    dependsOn: ["src/auth/**", "src/http/**"],
  },
  {
    name: "browser-pages",
    tests: ["browser-lab", "browser-models", "browser-playground", "browser-tasks", "browser-usage"],
    dependsOn: ["src/dashboard/**", "src/http/**", "src/lab/**"],
  },
  {
    name: "llama",
    tests: [
      "llama-embeddings",
      "llama-engine",
      "llama-forms",
      "llama-instruct",
      "llama-memory",
      "llama-prefixes",
      "llama-promises",
      "llama-requests",
    ],
    dependsOn: ["models/**", "src/engine/*.ts", "src/engine/{forms,llama}/**", "src/grammar/**"],
  },
  {
    name: "llama-server",
    tests: [
      "llama-server-engine",
      "llama-server-failures",
      "llama-server-nonsense",
      "llama-server-process",
      "llama-server-requests",
      "openai-engine",
      "openai-engine-server",
    ],
    dependsOn: ["src/engine/*.ts", "src/engine/{llama-server,openai,upstream}/**", "src/gpu/worker/**"],
  },
  {
    name: "tools",
    tests: ["llama-tools", "tool-calls"],
    dependsOn: ["models/**", "src/engine/*.ts", "src/engine/{llama,llama-server,tools}/**", "src/grammar/**"],
  },
  {
    name: "models",
    tests: ["model-reload", "models", "models-refused", "started-models"],
    dependsOn: ["src/{cli,config}/**", "src/engine/*.ts", "src/gpu/**", "src/models/**", "src/scheduler/**"],
  },
  {
    name: "gpus",
    tests: ["add-gpu", "gpus", "monitor", "nvidia-smi"],
    dependsOn: ["src/cli/gpus*.ts", "src/common/{wheels,zip}.ts", "src/gpu/**", "src/add-gpu/**"],
  },
  {
    name: "processes",
    tests: [
      "durability",
      "gpu-processes",
      "loaded-modules",
      "reload",
      "restart",
      "shared-process",
      "stop",
      "wall-clock",
      "worker",
      "workers",
    ],
    dependsOn: [
      "src/{backup,cli,common,config,control,gpu,log,scheduler,store,tasks}/**",
      "src/engine/{openai,upstream}/**",
    ],
  },
  {
    name: "e2e",
    tests: [
      "e2e-api",
      "e2e-backup",
      "e2e-batch-files",
      "e2e-command-line",
      "e2e-descriptors",
      "e2e-https",
      "e2e-life",
      "e2e-logs",
      "e2e-lost-files",
      "e2e-memory",
      "e2e-placement",
      "e2e-privacy",
      "e2e-responses",
      "e2e-small-heap",
      "live-server",
      "own-authority",
    ],
    dependsOn: [
      "src/{auth,backup,batch-files,cli,common,config,control,files,forget,gpu,http,log,scheduler,store,tasks,webhooks}/**",
    ],
  },
  {
    name: "drill",
    beside: true,
    tests: ["drill"],
    dependsOn: ["docs/operating.md", "src/{backup,cli,control,doctor,upgrade}/**", "src/store/sqlite/**"],
  },
  {
    name: "postgres",
    tests: [
      "postgres-accounts",
      "postgres-attacks",
      "postgres-kits",
      "postgres-others",
      "postgres-plans",
      "postgres-server",
      "postgres-store",
    ],
    dependsOn: ["src/auth/open-*.ts", "src/store/*.ts", "src/store/{postgres,thread}/**", "test/kits/**"],
  },
  {
    name: "postgres-operating",
    tests: ["postgres-copy", "postgres-files", "postgres-operating"],
    dependsOn: [
      "docs/postgres.md",
      "src/doctor/**",
      "src/files/**",
      "src/store/*.ts",
      "src/store/{copying,postgres,sqlite,thread}/**",
    ],
  },
  {
    name: "postgres-chaos",
    tests: ["postgres-chaos", "postgres-http"],
    dependsOn: ["chaos/**", "src/{batch-files,http,tasks}/**", "src/store/*.ts", "src/store/{postgres,thread}/**"],
  },
  {
    name: "memory",
    tests: ["large-bodies", "small-heap"],
    dependsOn: ["src/{http,scheduler,store,tasks}/**"],
  },
  {
    name: "observe",
    tests: ["observe"],
    dependsOn: ["deploy/**", "src/gpu/status.ts", "src/http/{metrics,request-news}.ts", "src/observe/metrics/**"],
  },
  {
    name: "lab",
    beside: true,
    tests: ["lab-strategies"],
    dependsOn: ["src/lab/**", "src/scheduler/**"],
  },
  {
    name: "chaos",
    beside: true,
    tests: ["chaos"],
    dependsOn: ["chaos/**", "src/{batch-files,engine,files,gpu,http,scheduler,store,tasks,webhooks}/**"],
  },
  {
    name: "soak",
    beside: true,
    tests: ["soak"],
    dependsOn: ["bench/**", "chaos/**", "soak/**", "src/{engine,gpu,http,scheduler,store,tasks,webhooks}/**"],
  },
];

export function filesOf({ tests }: Suite): string[] {
  return tests.map((name) => `test/wide/${name}.test.ts`);
}

/** Whether a change of these files, as paths from the root, can break the suite. */
export function concerns(suite: Suite, changed: readonly string[]): boolean {
  const globs = [...suite.dependsOn, ...filesOf(suite), ...EVERY];
  return changed.some((file) => globs.some((glob) => matchesGlob(file, glob)));
}

/**
 * Files that the commits of the last three days changed, or that are changed and not committed yet.
 * @param root the folder of the repository
 * @returns null: there is no history to tell, so anything may have changed
 */
export function recentChanges(root: string): string[] | null {
  const git = (...args: readonly string[]): string | null => {
    const { status, stdout } = spawnSync("git", ["-C", root, ...args], { encoding: "utf8", maxBuffer: Infinity });
    return status === 0 ? stdout : null;
  };
  // A clone without its history shows all files as made by its first commit, or hides what older commits changed.
  if (git("rev-parse", "--is-shallow-repository")?.trim() !== "false") return null;
  const committed = git("log", "--since=3.days", "--name-only", "--no-renames", "--format=");
  const uncommitted = git("status", "--porcelain", "--no-renames", "--untracked-files=all");
  if (committed === null || uncommitted === null) return null;
  const lines = [...committed.split("\n"), ...uncommitted.split("\n").map((line) => line.slice(3))];
  return [...new Set(lines.filter((line) => line !== ""))];
}
