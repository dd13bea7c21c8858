/**
 * The second reference: Node.js with `http` and `pg`. It trusts every token, checks no message and
 * has no limits, search or e-mail; each message is one prepared statement and one commit.
 */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import pg from "pg";

const PING_INTERVAL_MS = 15_000; // as the service under test
const CONNECTIONS = 16; // more make each commit wait longer for its backend
const SSE_HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-store, no-transform",
};

const POST = {
  name: "post",
  text: `WITH chat AS (
      UPDATE support_chats c SET last_seq = c.last_seq + 1, last_message_at = clock_timestamp(),
          last_user_message_at = clock_timestamp(), archived_at = NULL, updated_at = clock_timestamp()
      FROM users u WHERE u.id = c.user_id AND u.external_id = $1
      RETURNING c.id, c.user_id, c.last_seq, c.last_message_at)
    INSERT INTO support_messages
      (id, chat_id, seq, client_id, content, sender_type, sender_id, created_at, updated_at)
    SELECT $2, id, last_seq, $3, $4, 'user', user_id, last_message_at, last_message_at FROM chat
    RETURNING id, chat_id, seq, created_at`,
};
const STATE = {
  name: "state",
  text: `SELECT c.id, c.last_seq, c.archived_at IS NOT NULL AS archived,
      (SELECT count(*)::int FROM support_messages m
       WHERE m.chat_id = c.id AND m.sender_type = 'admin' AND m.read_at IS NULL) AS unread_count
    FROM support_chats c JOIN users u ON u.id = c.user_id WHERE u.external_id = $1`,
};
const MISSED = {
  name: "missed",
  text: `SELECT id, content, sender_type, read_at, created_at, seq, client_id
    FROM support_messages WHERE chat_id = $1 AND seq > $2 ORDER BY seq`,
};
const CREATE = {
  name: "create",
  text: `WITH person AS (
      INSERT INTO users (id, kind, external_id, email, name, created_at, updated_at)
      VALUES ($2, 'host', $1, $3, $4, clock_timestamp(), clock_timestamp()) RETURNING id)
    INSERT INTO support_chats (id, user_id, last_seq, read_up_to, created_at, updated_at)
    SELECT $5, id, 0, 0, clock_timestamp(), clock_timestamp() FROM person`,
};

const database = new pg.Pool({
  connectionString: process.env.NODE_REFERENCE_DATABASE_URL,
  max: CONNECTIONS,
});
/** Chat id → responses of its open streams. @type {Map<string, Set<import("node:http").ServerResponse>>} */
const streams = new Map();

/** @param {import("node:http").IncomingMessage} request */
function claimsOf(request) {
  const [, payload] = (request.headers.authorization ?? "").split(".");
  return JSON.parse(Buffer.from(payload, "base64url").toString());
}

/** @param {object} event @param {number} [seq] */
function frame(event, seq) {
  return `${seq === undefined ? "" : `id: ${seq}\n`}data: ${JSON.stringify(event)}\n\n`;
}

/** @type {import("node:http").RequestListener} */
async function postMessage(request, response) {
  let body = "";
  for await (const chunk of request) body += chunk;
  const { content, client_id } = JSON.parse(body);
  const values = [claimsOf(request).sub, randomUUID(), client_id, content];
  const [stored] = (await database.query({ ...POST, values })).rows;
  const { chat_id, ...rest } = stored;
  const message = { content, sender_type: "user", read_at: null, client_id, ...rest };
  const published = frame({ type: "new_message", message }, message.seq);
  for (const stream of streams.get(chat_id) ?? []) stream.write(published);
  const answer = JSON.stringify(message);
  response.writeHead(201, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(answer),
  });
  response.end(answer);
}

/** @param {{sub: string, email: string, name: string}} claims */
async function stateOf({ sub, email, name }) {
  const { rows } = await database.query({ ...STATE, values: [sub] });
  if (rows.length > 0) return rows[0];
  await database.query({ ...CREATE, values: [sub, randomUUID(), email, name, randomUUID()] });
  return (await database.query({ ...STATE, values: [sub] })).rows[0];
}

/** @type {import("node:http").RequestListener} */
async function openStream(request, response) {
  const cursor = request.headers["last-event-id"];
  const { id, ...state } = await stateOf(claimsOf(request));
  const missed =
    cursor === undefined ? [] : (await database.query({ ...MISSED, values: [id, cursor] })).rows;
  const open = streams.get(id) ?? new Set();
  streams.set(id, open.add(response));
  response.on("close", () => {
    open.delete(response);
    if (open.size === 0 && streams.get(id) === open) streams.delete(id);
  });
  response.writeHead(200, SSE_HEADERS);
  const frames = missed.map((message) => frame({ type: "new_message", message }, message.seq));
  response.write(frame({ type: "state", ...state }) + frames.join(""));
}

/** @type {import("node:http").RequestListener} */
async function serve(request, response) {
  try {
    if (request.method === "POST") await postMessage(request, response);
    else if (request.url === "/support_chat/stream") await openStream(request, response);
    else response.end("ok");
  } catch (error) {
    console.error(error);
    response.writeHead(500, { "Content-Length": 0 }).end();
  }
}

setInterval(() => {
  const ping = 'event: ping\ndata: {"seq":0}\n\n';
  for (const open of streams.values()) for (const stream of open) stream.write(ping);
}, PING_INTERVAL_MS);

const server = createServer(serve);
server.keepAliveTimeout = 0; // senders wait while the other servers are measured
server.listen(
  { port: Number(process.env.NODE_REFERENCE_PORT), host: "127.0.0.1", backlog: 4096 },
  () => console.log(`listening on 127.0.0.1 port ${server.address().port}`),
);
process.on("SIGTERM", () => process.exit(0));
