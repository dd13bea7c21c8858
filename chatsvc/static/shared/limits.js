// @ts-check
/** Time limits of widget and dashboard, in milliseconds. */

/** For a response. The server waits 5 s for its database: a longer silence is a network fault. */
export const REQUEST_LIMIT_MS = 15_000;
/** For the next bytes of a stream: 2.5 heartbeats of 15 s. */
export const SILENCE_LIMIT_MS = 37_500;
/**
 * For the first bytes, which the server sends at once. Without them, something on the way buffers
 * the stream.
 */
export const FIRST_BYTE_LIMIT_MS = 10_000;
/** Before a sound: until then, a visible tab has marked the message as read. */
export const READ_BY_NOW_MS = 400;
