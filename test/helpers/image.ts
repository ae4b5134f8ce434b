/**
 * The image of deploy/Dockerfile, really built: by Debian's buildah, on a base that debootstrap makes, as no registry of images is asked.
 * Its containers are processes in namespaces of their own, below a root that is read-only, with the rights that deploy/compose.yaml gives.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Owner, ROOT } from "./server.ts";
import { type Ran, shell, succeed, UNREACHABLE } from "./stranger.ts";

/** What an image says about how it is started. */
interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
  readonly StopSignal: NodeJS.Signals;
  readonly Volumes: Readonly<Record<string, object>>;
  readonly Healthcheck: { readonly Test: readonly string[] };
}

export interface Image {
  /** The folder that is its root. */
  readonly root: string;
  readonly config: ImageConfig;
}

/** Debian's name for the base's version. Its glibc is older than that of the image's own BASE. */
const DEBIAN = "bookworm";
/** Kept, as it takes longer than all the rest. */
const BASE = join(ROOT, "node_modules", ".cache", `${DEBIAN}.tar`);
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const UNREACHABLE_DEBIAN = /Failed getting release file|Couldn't download|Temporary failure|Could not resolve/i;

/** Why no image can be built here; false: it can. */
export async function cannotBuild(): Promise<string | false> {
  const only = "so the image was only linted";
  if (process.getuid?.() !== 0) return `only root can build an image without a daemon, ${only}`;
  const { code } = await shell("buildah --version && debootstrap --version && unshare --mount --pid --net true", ROOT);
  return code === 0 ? false : `this machine lacks Debian's buildah, debootstrap or the right to mount, ${only}`;
}

/**
 * @param folder for what is built; to be removed afterwards
 * @returns null: what it is built of cannot be fetched
 */
export async function buildImage(folder: string): Promise<Image | null> {
  const B = `buildah --storage-driver vfs --root ${folder}/images --runroot ${folder}/run`;
  if (!(await makeBase(folder))) return null;
  await succeed(await basesScript(), ROOT, { B });
  // Without `docker` there is no HEALTHCHECK in it.
  const built = await shell(
    "$B bud --isolation chroot --format docker --build-arg BASE=localhost/base --build-arg NODE_BASE=localhost/node-base " +
      "--file deploy/Dockerfile --tag alt-las .",
    ROOT,
    { B },
  );
  const said = built.stdout + built.stderr;
  if (built.code !== 0 && (UNREACHABLE.test(said) || UNREACHABLE_DEBIAN.test(said))) return null;
  if (built.code !== 0) throw new Error(said);
  const inspected = await succeed("$B inspect --type image localhost/alt-las", ROOT, { B });
  const { Docker } = JSON.parse(inspected) as { Docker: { config: ImageConfig } };
  const root = await succeed("$B mount $($B from localhost/alt-las)", ROOT, { B });
  return { root: root.trim(), config: Docker.config };
}

/** A small Debian as a tar file. @returns false: it cannot be fetched */
async function makeBase(folder: string): Promise<boolean> {
  if (existsSync(BASE)) return true;
  mkdirSync(join(folder, "base"), { recursive: true });
  // In memory: dpkg writes each file through to the disk, which is most of its time.
  const script = `
    mount -t tmpfs tmpfs base
    debootstrap --variant=minbase ${DEBIAN} base/root http://deb.debian.org/debian
    rm -rf base/root/var/cache/apt/archives/*.deb base/root/var/lib/apt/lists/*
    tar -C base/root -cf base.tar .`;
  const { code, stdout, stderr } = await shell(`unshare --mount sh -ec '${script}'`, folder);
  if (code !== 0 && UNREACHABLE_DEBIAN.test(stdout + stderr)) return false;
  if (code !== 0) throw new Error(stdout + stderr);
  await succeed(`mv base.tar ${BASE}.part && mv ${BASE}.part ${BASE}`, folder);
  return true;
}

/** What an organisation's own NODE_BASE would have: Node with npm, the certificates that it trusts, and its registry. */
async function basesScript(): Promise<string> {
  const npm = (await succeed('readlink -f "$(command -v npm)"', ROOT)).trim().replace(/\/bin\/npm-cli\.js$/, "");
  const registry = (await succeed("npm config get registry", ROOT)).trim();
  return `
    c=$($B from scratch)
    $B add --quiet $c ${BASE} /
    $B commit --quiet $c localhost/base
    $B copy --quiet $c ${process.execPath} /usr/local/bin/node
    $B copy --quiet $c ${npm} /usr/local/lib/node_modules/npm
    $B run --isolation chroot $c ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
    ! test -e ${CERTIFICATES} || $B copy --quiet $c ${CERTIFICATES} ${CERTIFICATES}
    $B config --env NODE_EXTRA_CA_CERTS=${CERTIFICATES} --env NPM_CONFIG_REGISTRY=${registry} $c
    $B commit --quiet $c localhost/node-base
    $B rm $c`;
}

export interface ContainerOptions {
  /** The folder that is mounted at /data. */
  readonly data: string;
  readonly isDataReadOnly?: boolean;
  /** As `--user`; without it, the image's own. */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Instead of the image's command. */
  readonly command?: readonly string[];
}

export interface ContainerEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One run of an image, in a network of its own. */
export class Container {
  readonly #image: Image;
  readonly #options: ContainerOptions;
  readonly #process: ChildProcess;
  readonly exit: Promise<ContainerEnd>;
  stdout = "";
  stderr = "";

  constructor(owner: Owner, image: Image, options: ContainerOptions) {
    this.#image = image;
    this.#options = options;
    const { config, root } = image;
    const mode = options.isDataReadOnly === true ? "ro" : "rw";
    // What a container runtime does with --read-only, --tmpfs /tmp and --volume. Without an address 127.0.0.1 there is no server.
    const script = `
      ip link set lo up
      mount --make-rprivate /
      mount --bind ${root} ${root}
      mount -o remount,bind,ro ${root}
      mount -t proc proc ${root}/proc
      mount --rbind /dev ${root}/dev
      mount -t tmpfs -o mode=1777 tmpfs ${root}/tmp
      mount --bind ${options.data} ${root}/data
      mount -o remount,bind,${mode} ${root}/data
      exec chroot ${root} "$@"`;
    const inside = this.#inside([...config.Entrypoint, ...(options.command ?? config.Cmd)]);
    const own = ["--mount", "--pid", "--net", "--fork"];
    this.#process = spawn("unshare", [...own, "sh", "-ec", script, "sh", ...inside], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process.stdout!.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.exit = once(this.#process, "close").then(([code]) => ({
      code: code as number | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
    owner.after(async () => {
      // Its end is the end of all that runs in there.
      if (this.#first !== null) this.#signal("SIGKILL");
      await this.exit;
    });
  }

  /** Waits until it has printed something. @throws {Error} with what it said instead */
  async printed(what: RegExp): Promise<RegExpExecArray> {
    for (let found: RegExpExecArray | null; ;) {
      if ((found = what.exec(this.stdout)) !== null) return found;
      const ended = await Promise.race([this.exit, once(this.#process.stdout!, "data").then(() => null)]);
      if (ended !== null) throw new Error(`It ended with ${ended.code}:\n${ended.stdout}\n${ended.stderr}`);
    }
  }

  /** Runs a command in it, as `docker exec` does. */
  async run(...command: readonly string[]): Promise<Ran> {
    const args = ["--target", String(this.#first), "--mount", "--pid", "--net", "--root", "--wd=/"];
    const child = spawn("nsenter", [...args, ...this.#inside(command)], { stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout, stderr };
  }

  /** As `docker stop`: its first process gets the image's signal. */
  async stop(): Promise<ContainerEnd> {
    this.#signal(this.#image.config.StopSignal);
    return this.exit;
  }

  #signal(name: NodeJS.Signals): void {
    if (this.#first === null) throw new Error(`The container has ended:\n${this.stdout}\n${this.stderr}`);
    process.kill(this.#first, name);
  }

  /** The id, out here, of what is process 1 in there; null: it has ended. */
  get #first(): number | null {
    const { pid } = this.#process;
    try {
      const [child = ""] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
      return child === "" ? null : Number(child);
    } catch {
      return null;
    }
  }

  /** A command with the user, the rights, the folder and the environment of the container; to be started in its root. */
  #inside(command: readonly string[]): string[] {
    const { config } = this.#image;
    const [uid = "", gid = "0"] = (this.#options.user ?? config.User).split(":");
    const rights = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
    // Root has some rights in a container by itself, such as to write everywhere.
    const isRoot = uid === "0";
    const user = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", ...(isRoot ? [] : rights)];
    const given = Object.entries(this.#options.env ?? {}).map(([name, value]) => `${name}=${value}`);
    return ["setpriv", ...user, "env", "-i", "-C", config.WorkingDir, ...config.Env, ...given, ...command];
  }
}
