/** The package.json of the package on npm. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What we read of a package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

/** The package whose files travel within ours. */
export const BUNDLED = "node-llama-cpp";
/** Of its packages the ones for a kind of GPU, hundreds of megabytes each. */
const FOR_GPUS = /-(?:cuda|cuda-ext|vulkan)$/;
/** Brings Node into a clone. Who installs a package has Node. */
const NODE = "node";
const NEEDED_NODE = ">=24";
const KEPT = ["name", "version", "description", "license", "type", "bin"] as const;

/** The package.json in a folder. @throws when there is none */
export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

/**
 * node-llama-cpp as a dependency would bring its packages for CUDA and Vulkan onto every machine: `overrides` hold in a clone only. So its
 * files are within our package, and what it needs but for those packages is ours to ask for.
 * @param own of the clone
 * @param bundled of node-llama-cpp
 * @param environment of a workflow of GitHub it says which repository this is, as npm has to know for the provenance
 */
export function packageManifest(own: Manifest, bundled: Manifest, environment: NodeJS.ProcessEnv): object {
  const { [NODE]: _node, ...direct } = own.dependencies ?? {};
  const platforms = Object.entries(bundled.optionalDependencies ?? {}).filter(([name]) => !FOR_GPUS.test(name));
  return {
    ...Object.fromEntries(KEPT.map((key) => [key, own[key]])),
    ...repositoryOf(environment),
    imports: Object.fromEntries(
      Object.entries(own["imports"] as Record<string, string>).map(([name, path]) => [name, compiledName(path)]),
    ),
    engines: { node: NEEDED_NODE },
    // Ours come last: they are the versions that the tests have run with.
    dependencies: sorted({ ...bundled.dependencies, ...direct }),
    optionalDependencies: sorted({ ...Object.fromEntries(platforms), ...own.optionalDependencies }),
    bundleDependencies: [BUNDLED],
  };
}

/** That of node-llama-cpp within our package: npm finds nothing in it to fetch or to run. */
export function bundledManifest(bundled: Manifest): object {
  const { scripts: _scripts, dependencies: _needed, optionalDependencies: _platforms, ...rest } = bundled;
  const { devDependencies: _dev, peerDependencies: _peers, peerDependenciesMeta: _meta, ...kept } = rest;
  return kept;
}

/** The licences of what is within our package, in full. @param folders of the packages @throws when one has none */
export function notices(folders: readonly string[]): string {
  const parts = folders.map((folder) => {
    const { name, version, license } = readManifest(folder);
    const file = ["LICENSE", "LICENSE.md", "LICENCE"].map((one) => join(folder, one)).find((one) => existsSync(one));
    if (file === undefined) throw new Error(`${name} has no licence file.`);
    return `## ${name} ${version} (${license})\n\n${readFileSync(file, "utf8").trim()}\n`;
  });
  return `# Third-party notices\n\nThis package contains files of others, under these licences.\n\n${parts.join("\n")}`;
}

function repositoryOf({ GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name }: NodeJS.ProcessEnv): object {
  if (server === undefined || name === undefined) return {};
  return { repository: { type: "git", url: `git+${server}/${name}.git` } };
}

/** What the compiler makes of a module's name. */
function compiledName(path: string): string {
  return path.replace(/\.ts$/, ".js");
}

function sorted(entries: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(entries).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
