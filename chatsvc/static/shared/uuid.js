// @ts-check
/** Ids for messages that are not sent yet. */

/** `crypto.randomUUID` exists on secure pages only. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
