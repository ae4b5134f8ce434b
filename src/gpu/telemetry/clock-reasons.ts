/**
 * Why the clock of an NVIDIA GPU is lower than it could be: the bits of nvml.h's nvmlClocksEventReason… and
 * nvmlClocksThrottleReason…, but for the two that hold nothing back: idle (0x1), and clocks that somebody set (0x2).
 */
const REASONS: readonly (readonly [bit: bigint, name: string])[] = [
  [0x4n, "sw_power_cap"],
  [0x8n, "hw_slowdown"],
  [0x10n, "sync_boost"],
  [0x20n, "sw_thermal_slowdown"],
  [0x40n, "hw_thermal_slowdown"],
  [0x80n, "hw_power_brake_slowdown"],
  [0x100n, "display_clock_setting"],
];

/** The names of the bits that are set; those that are not known are left out. */
export function clockReasons(bits: bigint): readonly string[] {
  return REASONS.filter(([bit]) => (bits & bit) !== 0n).map(([, name]) => name);
}
