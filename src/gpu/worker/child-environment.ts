/**
 * How the server starts processes of its own program, and what they get of its environment. Engines, drivers and what these start run
 * code that is not ours, and the environment of a server holds secrets for which they have no use.
 */
import { type ChildProcess, fork, type ForkOptions } from "node:child_process";
import { fileURLToPath } from "node:url";
import { authorityForChildren } from "../../common/own-authority.ts";

/** Variables that any program needs: where things are, the language, the time zone. Windows' own names are in whatever case they came. */
const NAMES = new Set([
  ..."PATH HOME USER LOGNAME LANG LANGUAGE TZ TZDIR TMPDIR TEMP TMP NO_COLOR".split(" "),
  // How libraries are found, and how memory and threads are handed out.
  ..."LD_LIBRARY_PATH LD_PRELOAD DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH GLIBC_TUNABLES UV_THREADPOOL_SIZE".split(
    " ",
  ),
  // Certificates that an engine believes when it asks a server.
  ..."SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS NODE_USE_SYSTEM_CA NODE_TLS_REJECT_UNAUTHORIZED".split(" "),
  ..."NODE_OPTIONS NODE_COMPILE_CACHE NODE_V8_COVERAGE".split(" "),
  ..."SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE USERNAME APPDATA LOCALAPPDATA PROGRAMDATA".split(" "),
  ..."PROGRAMFILES PROGRAMFILES(X86) COMMONPROGRAMFILES NUMBER_OF_PROCESSORS OS".split(" "),
]);

/** Families of names: the language, the folders of a desktop, GPU drivers, and what computes on GPUs and CPUs. */
const FAMILIES = [
  ..."LC_ XDG_ PROCESSOR_ MALLOC_ CUDA_ NVIDIA_ NV_ __NV_ __GL_ VK_ MESA_ RADV_ AMD_ AMDGPU_ HIP_ HSA_ ROCR_ ROCM_".split(
    " ",
  ),
  ..."ROCBLAS_ HIPBLASLT_ GPU_ GGML_ LLAMA_ NODE_LLAMA_CPP_ OMP_ GOMP_ KMP_ MKL_ OPENBLAS_ BLIS_ ONEAPI_ SYCL_ ZE_".split(
    " ",
  ),
  ..."MTL_ METAL_".split(" "),
];

/** `NVIDIA_API_KEY` belongs to a family, and is a secret all the same. `LLAMA_ARG_HF_…` says what to download as whom; we download nothing. */
const SECRET =
  /KEY|TOKEN|SECRET|PASS|PWD|CRED|AUTH|COOKIE|SESSION|LICEN[CS]E|SIGNATURE|PRIVATE|(?:^|_)(?:PATS?|PINS?|SAS|JWT|SALT|DSN|LOGIN|ACCOUNT)(?:_|$)|^LLAMA_ARG_HF/;

/** `XDG_SESSION_TYPE` and its like name no secret, and Vulkan asks for them. */
const HARMLESS = /^XDG_SESSION_(?:TYPE|CLASS|DESKTOP)$|^XDG_CURRENT_DESKTOP$/;

/** Never passed on, whatever the configuration says. */
const SERVERS_OWN = "ALT_LAS_API_KEY";

/**
 * The part of the server's environment that a child process gets.
 * @param more names beside those that are known to be needed (`gpu.worker_environment`)
 */
export function inheritedEnvironment(environment: NodeJS.ProcessEnv, more: readonly string[]): NodeJS.ProcessEnv {
  const named = new Set(more);
  const kept = Object.entries(environment).filter(
    ([name]) => name !== SERVERS_OWN && (named.has(name) || isKnown(name.toUpperCase())),
  );
  return Object.fromEntries(kept);
}

function isKnown(name: string): boolean {
  return (
    NAMES.has(name) ||
    (FAMILIES.some((family) => name.startsWith(family)) && (HARMLESS.test(name) || !SECRET.test(name)))
  );
}

export interface ChildOptions extends Pick<ForkOptions, "stdio" | "timeout" | "killSignal"> {
  /** The names of `gpu.worker_environment`. */
  readonly inherit?: readonly string[] | undefined;
  /** Where nothing is inherited under the same name. */
  readonly defaults?: Readonly<Record<string, string>>;
  /** Over what is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  /** Of V8. Set later, they would make it refuse the compiled code that it has kept. */
  readonly flags?: readonly string[];
}

/**
 * Starts one of our modules as a process of its own, with a channel to it.
 * @param module its URL
 * @throws {Error} for some reasons why it cannot be started; for others it tells of an error and a death
 */
export function startChild(
  module: URL,
  { inherit = [], defaults, environment, flags = [], ...options }: ChildOptions,
): ChildProcess {
  return fork(fileURLToPath(module), {
    ...options,
    env: { ...defaults, ...inheritedEnvironment(process.env, inherit), ...authorityForChildren(), ...environment },
    // SIGUSR1 would open a debugger, in which anybody on this machine could run what they like.
    execArgv: ["--disable-sigusr1", ...flags],
  });
}

/** For a child process: what a terminal, a service manager or a log rotation sends to all that runs is the parent's business. */
export function ignoreSignals(): void {
  // Of these Windows has three, and Ctrl+Break besides; names of no signal are harmless.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGUSR1", "SIGUSR2"] as const)
    process.on(signal, () => {});
}
