/**
 * How the systems differ on which ALT_LAS runs. Nothing else asks for the platform (tools/structure/plugin.ts): others ask for a trait, so
 * that each difference has a name, and that a test can take the place of a system that is not there.
 */

export interface System {
  readonly platform: NodeJS.Platform;
  /** `sh`, process groups, and further descriptors that a child inherits. */
  readonly hasShell: boolean;
  /** Folders can be opened, and so be put on disk. */
  readonly syncsFolders: boolean;
  /** A file that is open can be renamed, replaced and removed, and an empty folder be replaced by another one. */
  readonly replacesOpenFiles: boolean;
  /** Where a server listens for processes of the same machine: a file, with the rights of a file, or a name that all processes share. */
  readonly localServers: "sockets" | "pipes";
  /** A process can be stopped for a while, as Ctrl+Z does it. */
  readonly stopsProcesses: boolean;
  /** Some seconds after a terminal has closed, the system ends what ran in it, whatever that is doing. */
  readonly endsWithTerminal: boolean;
  /** Programs that npm installs are scripts of the system's shell, which only that shell starts. */
  readonly npmNeedsShell: boolean;
  /** Endings that may follow the name of a program in its file's name. */
  readonly programEndings: readonly string[];
}

const POSIX: Omit<System, "platform"> = {
  hasShell: true,
  syncsFolders: true,
  replacesOpenFiles: true,
  localServers: "sockets",
  stopsProcesses: true,
  endsWithTerminal: false,
  npmNeedsShell: false,
  programEndings: [""],
};

const WINDOWS: Omit<System, "platform"> = {
  hasShell: false,
  syncsFolders: false,
  replacesOpenFiles: false,
  localServers: "pipes",
  stopsProcesses: false,
  endsWithTerminal: true,
  npmNeedsShell: true,
  programEndings: ["", ".exe"],
};

export function systemOf(platform: NodeJS.Platform): System {
  return { platform, ...(platform === "win32" ? WINDOWS : POSIX) };
}

/** The one that this process runs on. */
export const SYSTEM = systemOf(process.platform);
