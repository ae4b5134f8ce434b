/**
 * NVIDIA's Xid errors: what the driver reports when something went wrong on a GPU.
 *
 * Source: NVIDIA's "Xid Errors" document with the Xid catalogue (Ampere and newer GPUs; Xids 1 to 172, driver R580),
 * https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html, column "Resolution Bucket (Immediate Action)";
 * for what the catalogue calls unused and older GPUs still report, release r555 of the same document and
 * https://docs.nvidia.com/deploy/gpu-debug-guidelines/ (Xid 61).
 *
 * Where this differs from the catalogue's immediate action:
 * - 43 is "ignore" there because the GPU is healthy, but the process that ran into it must end: a new worker.
 * - 45 follows whenever a process that uses the GPU is killed, also when this server kills its own worker. A restart
 *   after it would kill, and so report, for ever. The cause of such a clean-up has an Xid of its own.
 * - 144 to 149 need the hexadecimal words of the kernel's message, which the driver's events do not have. Those that are
 *   fatal bring another Xid along (48, or 154 with the action in words), so by themselves they are counted.
 * - 154 only announces what another Xid calls for.
 */

/** `reset`: the GPU, or the machine, must be reset; `restart`: a new process can use it; `count`: nothing to do. */
export type XidAction = "reset" | "restart" | "count";

export interface XidDescription {
  readonly xid: number;
  /** A clause for the middle of a sentence. */
  readonly name: string;
  readonly action: XidAction;
}

const RESET: Readonly<Record<number, string>> = {
  46: "the GPU stopped processing and timed out",
  48: "double-bit ECC error in the GPU's memory",
  61: "the GPU's internal micro-controller stopped at a breakpoint",
  62: "the GPU's internal micro-controller halted",
  64: "a defective part of the GPU's memory could not be remapped",
  74: "NVLink error",
  79: "the GPU has fallen off the bus",
  95: "memory error that is not contained to one process",
  109: "context switch timeout",
  110: "security fault",
  119: "the GPU's system processor (GSP) did not answer in time",
  120: "error in the GPU's system processor (GSP)",
  136: "NVLink training failed",
  140: "uncorrected ECC error",
  143: "the GPU could not be initialized",
  150: "NVLink firmware error (MSE)",
  151: "key rotation error",
  155: "NVLink went down by software",
  156: "a defective resource of the GPU was retired",
  158: "fatal timeout of the GPU",
};

const RESTART: Readonly<Record<number, string>> = {
  8: "the GPU stopped processing",
  11: "invalid or corrupted push buffer stream",
  13: "graphics engine exception",
  25: "invalid or illegal push buffer stream",
  31: "GPU memory page fault",
  32: "invalid or corrupted push buffer stream from the DMA controller",
  ...copyEngines([39, 40, 41, 70, 71, 72, 75, 76, 77, 85, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135]),
  43: "the GPU stopped processing a faulty program",
  60: "video processor exception",
  68: "video decoder exception",
  69: "graphics engine class error",
  80: "corrupted data was sent to the GPU",
  ...named("image decoder error", [82, 99, 100, 101, 102, 103, 104, 105]),
  ...named("video decoder error", [83, 84, 88, 89, 96, 97, 98]),
  ...named("optical flow engine error", [86, 139]),
  94: "memory error that is contained to one process",
};

const COUNT: Readonly<Record<number, string>> = {
  14: "error injected on purpose",
  37: "driver firmware error (unimplemented method)",
  38: "driver firmware error (watchdog)",
  44: "graphics engine fault during a context switch",
  45: "clean-up after a process that used the GPU was ended",
  54: "auxiliary power is not connected to the GPU board",
  56: "display engine error",
  57: "error programming the video memory interface",
  58: "unstable video memory interface",
  59: "error of the GPU's internal micro-controller",
  63: "a defective part of the GPU's memory was remapped",
  65: "video encoder exception",
  66: "illegal access by the driver (register)",
  67: "illegal access by the driver (verification)",
  78: "a virtual GPU could not be started",
  92: "high rate of single-bit ECC errors",
  93: "the board's information ROM reached its erase limit",
  106: "test message of the system management bus",
  107: "silent test message of the system management bus",
  121: "corrected error on the link between the GPU and the processor",
  137: "NVLink access without the right to it",
  141: "CUDA fast path error",
  142: "video encoder error",
  144: "NVLink SAW error",
  145: "NVLink RLW error",
  146: "NVLink TLW error",
  147: "NVLink TREX error",
  148: "NVLink control error",
  149: "NVLink link event",
  152: "memory management error of the deep learning accelerator",
  153: "timeout of the deep learning accelerator",
  154: "the recovery that the GPU needs has changed",
  157: "a defective resource of the GPU could not be retired",
  159: "error on the coherent link without data",
  160: "a defective memory channel was retired",
  161: "a defective memory channel could not be retired",
  162: "power smoothing is on again",
  163: "power smoothing was switched off",
  164: "power smoothing is near the end of its life",
  165: "power smoothing has reached the end of its life",
  166: "NVLink traffic before encryption was set up",
  167: "fatal PCI Express timeout",
  168: "reduced GPU memory capacity",
  169: "the GPU's security micro-controller halted",
  170: "interrupt in confidential computing mode",
  171: "uncorrectable DRAM error",
  172: "uncorrectable SRAM error",
};

const CATALOGUE = new Map<number, XidDescription>([
  ...entries(RESET, "reset"),
  ...entries(RESTART, "restart"),
  ...entries(COUNT, "count"),
]);

/** The meaning of an Xid; one that the catalogue does not list is only counted. */
export function describeXid(xid: number): XidDescription {
  return CATALOGUE.get(xid) ?? { xid, name: "an error that NVIDIA's catalogue does not describe", action: "count" };
}

/** Like `Xid 79: the GPU has fallen off the bus.` */
export function sentenceOfXid(xid: number): string {
  return `Xid ${xid}: ${describeXid(xid).name}.`;
}

function entries(names: Readonly<Record<number, string>>, action: XidAction): [number, XidDescription][] {
  return Object.entries(names).map(([xid, name]) => [Number(xid), { xid: Number(xid), name, action }]);
}

/** The copy engines are numbered in the order of their Xids. */
function copyEngines(xids: readonly number[]): Record<number, string> {
  return Object.fromEntries(xids.map((xid, engine) => [xid, `error in copy engine ${engine}`]));
}

function named(name: string, xids: readonly number[]): Record<number, string> {
  return Object.fromEntries(xids.map((xid) => [xid, name]));
}
