// @ts-check
/** Ids for new messages. */

/** Return a random id. `crypto.randomUUID` exists only on secure pages. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
