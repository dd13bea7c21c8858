// Requests end, whatever becomes of the network or of the host page's token, and an old answer does not undo a new one.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { ChatClient, HttpError } from "../../../chatsvc/static/widget/chat-client.js";
import { Identity, TOKEN_LIMIT_MS } from "../../../chatsvc/static/widget/identity.js";

/** A server of one's own, and a client that asks it. */
async function setUp(context, answer, host = { token: "a", getToken: null }) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const identity = new Identity(host, "visitor");
  return {
    identity,
    client: new ChatClient(
      new URL(`http://127.0.0.1:${server.address().port}/`),
      identity,
      () => "en",
    ),
  };
}

const json = (response, status, body) =>
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));

test("an answer that stops in its middle is given up like one that does not begin", async (context) => {
  // The limit once ended with the head of the answer: a connection that died after it held up the outbox for ever.
  const limits = [];
  context.mock.method(AbortSignal, "timeout", () => {
    limits.push(new AbortController());
    return limits.at(-1).signal;
  });
  let begun;
  const half = new Promise((resolve) => {
    begun = resolve;
  });
  const { client } = await setUp(context, (_, response) => {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.write('{"messages": [', begun);
  });
  const asked = client.chat();
  await half;
  await new Promise((resolve) => setTimeout(resolve, 50)); // the head has arrived: what is waited for is the rest
  limits[0].abort(new DOMException("too long", "TimeoutError"));
  await assert.rejects(asked, { name: "TimeoutError" });
});

for (const [how, getToken] of [
  ["fails", () => Promise.reject(new Error("signed out"))],
  ["never answers", () => new Promise(() => {})],
]) {
  test(`a host page whose getToken ${how} is as good as a refused token`, async (context) => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    const { client } = await setUp(context, (_, response) => json(response, 200, {}), {
      token: null,
      getToken,
    });
    const asked = assert.rejects(
      client.openStream(0, undefined, new AbortController().signal),
      (error) => error instanceof HttpError && error.status === 401,
    );
    for (let tries = 0; tries < 2; tries += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      context.mock.timers.tick(TOKEN_LIMIT_MS);
    }
    await asked;
  });
}

test("a refusal of the token before does not forget the visitor who was made meanwhile", async (context) => {
  // Several requests are under way with one token: the second 401 came when the first had already led to a new visitor.
  const refusals = [];
  const { client, identity } = await setUp(
    context,
    (request, response) => {
      if (request.url === "/visitors") json(response, 201, { token: "new" });
      else if (request.headers.authorization === "Bearer old")
        refusals.push(() => json(response, 401, {}));
      else json(response, 200, { seq: 1 });
    },
    { token: null, getToken: null },
  );
  identity.rememberVisitor("old");
  const [first, second] = [client.chat(), client.chat()];
  while (refusals.length < 2) await new Promise((resolve) => setImmediate(resolve));
  refusals[0]();
  await first.catch(() => {});
  await client.postMessage("Hello?", "1");
  refusals[1]();
  await second.catch(() => {});
  assert.equal(await identity.token(), "new");
});
