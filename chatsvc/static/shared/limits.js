// @ts-check
/** How long widget and dashboard wait for the server, in milliseconds. */

/** A whole response. The server gives up on its database after 5 s: longer silence means the network. */
export const REQUEST_LIMIT_MS = 15_000;
/** 2.5 heartbeats of 15 s: a stream that is silent for longer is dead. */
export const SILENCE_LIMIT_MS = 37_500;
/** The server sends some bytes at once: without them something on the way holds the stream back. */
export const FIRST_BYTE_LIMIT_MS = 10_000;
/** A tab that somebody looks at has marked a message read by then, and nobody needs a sound. */
export const READ_BY_NOW_MS = 400;
