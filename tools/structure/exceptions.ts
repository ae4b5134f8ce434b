/** What may be larger than the rest of src, or asks for what only some systems have, and why. The check fails as soon as one is no longer needed. */

/** Where it is, and its name where it has one. */
export interface Exception {
  readonly file: string;
  /** Of the function, the class or what the system has. Absent: the file as a whole. */
  readonly name?: string;
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    file: "src/task.ts",
    name: "newTask",
    reason: "one line for each field: made in any other way, a task costs several times as much",
  },
  { file: "src/cli/remote/screen.ts", name: "SIGSTOP", reason: "sent where System.stopsProcesses says that it can be" },
  {
    file: "src/common/data-folder.ts",
    name: "/etc",
    reason: "elsewhere a user is told by a number, or there are none",
  },
  { file: "src/common/pip-settings.ts", name: "/dev", reason: "a word of pip's, never opened" },
  {
    file: "src/common/pip-settings.ts",
    name: "/etc",
    reason: "where pip looks; on Windows other folders are looked at",
  },
  {
    file: "src/common/open-files.ts",
    name: "/proc",
    reason: "elsewhere connections have no bound but the system's own",
  },
  {
    file: "src/cli/cluster-init.ts",
    name: "/var",
    reason: "it is a folder of the NATS servers' machine, in a file that their operator reads",
  },
  { file: "src/doctor/machine.ts", name: "/etc", reason: "elsewhere the system's own version says enough" },
  { file: "src/control/socket.ts", name: "/proc", reason: "elsewhere the socket is named by its path, or is a pipe" },
  { file: "src/engine/llama-server/process.ts", name: "/bin", reason: "asked for System.hasShell before" },
  { file: "src/gpu/inventory/pci.ts", name: "/sys", reason: "elsewhere only drivers tell of GPUs" },
  {
    file: "src/gpu/telemetry/amd.ts",
    name: "/sys",
    reason: "AMD's GPUs are known on Linux only, and docs/gpus.md says so",
  },
  { file: "src/gpu/telemetry/own-pids.ts", name: "/proc", reason: "elsewhere a process has one number" },
  {
    file: "src/gpu/worker/process-use.ts",
    name: "/proc",
    reason: "elsewhere only what workers say of themselves is shown",
  },
  { file: "src/store/sqlite/schema.ts", name: "/proc", reason: "elsewhere a sentence does without a process's number" },
];
