/** UUIDs without their dashes, as they stand in ids of OpenAI's kind. */

export function hexOf(uuid: string): string {
  return uuid.replaceAll("-", "");
}

/** @param hex 32 hexadecimal digits */
export function uuidOf(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The UUID of an id that is this prefix and 32 hexadecimal digits, in letters of any case; null: it is none. */
export function uuidBehind(prefix: string, id: string): string | null {
  const text = id.toLowerCase();
  const hex = text.slice(prefix.length);
  return text.startsWith(prefix) && /^[0-9a-f]{32}$/.test(hex) ? uuidOf(hex) : null;
}
