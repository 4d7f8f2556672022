// Tests of the life of a page: slow lines, dead ends, refusals, the back/forward
// cache, hanging attempts, and environments that allow no connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Rohrpost } from "../rohrpost.js";
import { board, connected, failure, settled, setup, stubBrowser } from "./support.js";

const ids = (errors) => errors.map((error) => error.code);

// ---- slow lines and slow servers

test("while a reply is due, silence counts after half a minute, and after such a loss after a minute", async (t) => {
  const { clock, network, client } = await connected(t, { random: () => 0 });
  const watch = client.watch("board");
  await clock.run(29_999);
  assert.equal(network.sockets.length, 1, "0.9 MB at 50 KB/s take 18 seconds");
  await clock.run(501);
  assert.equal(network.sockets.length, 2);
  network.last.open();
  await clock.run(59_999);
  assert.equal(network.sockets.length, 2, "the client has become patient");
  network.last.reply(network.last.requests()[0], { group: "board", epoch: "e", offset: 1, snapshot: [] });
  assert.equal(watch.status, "live");
});

test("silence counts when no reply is due", async (t) => {
  const { clock, network, client } = await connected(t, { random: () => 0 });
  const call = failure(client.call("a", 1, { timeout: 3000 }));
  await clock.run(3000);
  assert.equal((await call).code, "timeout");
  await clock.run(2500);
  assert.equal(network.sockets.length, 2);
});

test("a call of twelve seconds outlives the heartbeats of a hub that answers in order", async (t) => {
  const { clock, network, client } = await connected(t);
  const call = client.call("slow", 1, { timeout: 20_000 });
  await clock.run(12_000);
  network.last.reply(network.last.requests("slow")[0], "done");
  assert.equal(await call, "done");
  assert.equal(network.sockets.length, 1);
});

// ---- dead ends

test("a call that is too large rejects with a code, and the connection goes on", async (t) => {
  const { network, client } = await connected(t);
  network.last.welcome();
  const error = await failure(client.call("save", "ä".repeat(40_000)));
  assert.deepEqual([error.code, error.sent], ["too_large", false]);
  assert.match(error.message, /save.*65536 bytes/);
  assert.deepEqual(network.last.requests(), []);
  const call = client.call("save", "x".repeat(60_000));
  network.last.reply(network.last.requests()[0], 1);
  assert.equal(await call, 1);
});

test("a large call waits until the hub has told its limits", async (t) => {
  const { network, client } = await connected(t);
  const ends = [failure(client.call("save", "x".repeat(70_000))), client.call("save", "x".repeat(20_000))];
  const small = client.call("small");
  assert.deepEqual(network.last.requests(), [], "calls keep their order");
  network.last.welcome();
  assert.equal((await ends[0]).code, "too_large");
  const [first, second] = network.last.requests();
  network.last.reply(first, 1);
  network.last.reply(second, 2);
  assert.deepEqual([await ends[1], await small], [1, 2]);
});

test("a hub without hello sets no limit", async (t) => {
  const { network, client } = await connected(t);
  client.call("save", "x".repeat(70_000)).catch(() => {});
  network.last.deliver({ id: 0, type: "rohrpost:hello", error: "No registered handler called 'rohrpost:hello'." });
  assert.equal(network.last.requests().length, 1);
});

test("a hub that does not answer hello sets no limit after five seconds", async (t) => {
  const { clock, network, client } = await connected(t, { pingInterval: 0 });
  client.call("save", "x".repeat(70_000), { timeout: 60_000 }).catch(() => {});
  client.watch("board");
  await clock.run(4999);
  assert.deepEqual(network.last.requests(), []);
  await clock.run(1);
  assert.deepEqual(network.last.requests().map((m) => m.type), ["save", "subscribe"]);
});

test("a watch and a group of a closed hub are closed and have an error", async (t) => {
  const { network, client } = await connected(t);
  network.last.drop(4403, "forbidden");
  const watch = client.watch("board");
  assert.deepEqual([watch.status, watch.error.close, watch.items], ["closed", 4403, []]);
  assert.deepEqual([client.group("board").status, client.group("board").error.close], ["closed", 4403]);
  await assert.rejects(watch.ready, { close: 4403 });
});

test("connect opens a closed hub again", async (t) => {
  const { network, client, of } = await connected(t);
  network.last.drop(4403, "forbidden");
  client.connect();
  client.connect();
  assert.equal(network.sockets.length, 2);
  network.last.open();
  const watch = client.watch("board");
  network.last.reply(network.last.requests()[0], { group: "board", epoch: "e", offset: 1, snapshot: [] });
  assert.deepEqual([client.status, watch.status], ["live", "live"]);
  assert.equal(of("status").at(-1), "live");
});

test("disconnect keeps the watches, and connect resumes them", async (t) => {
  const { clock, client, network, watch, requests, reply, names } = await board(t);
  client.disconnect();
  client.disconnect();
  assert.deepEqual([client.status, watch.status, watch.items.length], ["closed", "stale", 2]);
  await clock.run(60_000);
  assert.equal(network.sockets.length, 1);
  client.connect();
  network.last.open();
  assert.deepEqual(requests()[0].data.since, { epoch: "e", offset: 10 });
  reply({ offset: 10, recovered: true, missed: 0 });
  assert.deepEqual([client.status, watch.status], ["live", "live"]);
  assert.deepEqual(names().filter((n) => ["open", "closed"].includes(n)), ["open", "closed", "open"]);
});

test("with autoConnect: false nothing connects before connect", async (t) => {
  const { clock, network, client, of } = setup(t, { autoConnect: false });
  const watch = client.watch("board");
  await clock.run(1000);
  assert.deepEqual([network.sockets.length, client.status, watch.status], [0, "closed", "connecting"]);
  const call = client.call("a");
  client.connect();
  assert.equal(client.status, "connecting");
  await settled();
  network.last.open();
  network.last.reply(network.last.requests("a")[0], 1);
  assert.equal(await call, 1);
  network.last.reply(network.last.requests("subscribe")[0], { group: "board", epoch: "e", offset: 1, snapshot: [] });
  assert.deepEqual(of("status"), ["connecting", "live"]);
});

// ---- refusals

test("4401 asks the token function once, and the second in a row is final", async (t) => {
  let asked = 0;
  const { clock, network, client, of } = await connected(t, { token: () => `t${++asked}` });
  network.last.drop(4401, "authentication failed");
  await clock.run(0);
  assert.deepEqual([network.sockets.length, asked, client.status], [2, 2, "stale"]);
  network.last.open();
  network.last.drop(4401, "authentication failed");
  await clock.run(60_000);
  assert.deepEqual([network.sockets.length, asked, client.status], [2, 2, "closed"]);
  client.connect();
  await settled();
  assert.equal(asked, 3, "a new login, a new token");
  const [error] = of("error");
  assert.deepEqual([error.code, error.close], ["closed", 4401]);
  assert.match(error.message, /identity rejected: 4401 authentication failed/);
});

test("4401 after a connection that worked asks again", async (t) => {
  const { clock, network, client } = await connected(t, { token: () => "t" });
  for (let n = 0; n < 3; n++) {
    network.last.drop(4401);
    await clock.run(0);
    network.last.open();
    network.last.welcome();
    await clock.run(5000);
  }
  assert.equal(client.status, "live");
});

test("three failed attempts in a row are an error, and the client keeps trying", async (t) => {
  const { clock, network, client, of } = setup(t, { random: () => 0 });
  for (let n = 1; n <= 5; n++) {
    await settled();
    network.last.drop();
    assert.deepEqual(ids(of("error")), n < 3 ? [] : ["unreachable"]);
    await clock.run(500);
  }
  assert.match(of("error")[0].message, /ws:\/\/hub.test/);
  assert.equal(client.status, "connecting");
  network.last.open();
  for (let n = 0; n < 4; n++) {
    network.last.drop();
    await clock.run(500);
  }
  assert.deepEqual(ids(of("error")), ["unreachable", "unreachable"], "once for each row of failures");
});

// ---- small ones

test("timeout: Infinity never times out, and pingInterval: 0 sends no heartbeat", async (t) => {
  const { clock, network, client } = await connected(t, { pingInterval: 0, timeout: Infinity });
  const call = client.call("slow");
  await clock.run(10_000_000);
  assert.deepEqual(network.last.sent.map((m) => m.type), ["slow"]);
  network.last.reply(network.last.requests()[0], 1);
  assert.equal(await call, 1);
});

test("sent is true only after the socket has taken the call", async (t) => {
  const { network, client } = await connected(t);
  network.last.client.send = () => {
    throw new Error("closing");
  };
  const error = await client.call("a").catch((error) => error);
  assert.deepEqual([error.message, error.sent], ["closing", false]);
});

test("closed follows open once, whatever the handlers do", async (t) => {
  const events = ["open", "closed", "reconnecting", "status", "error", "message", "resync", "a"];
  for (const event of events) {
    for (const act of ["close", "disconnect", "connect"]) {
      const { clock, network, client, names } = await connected(t, { random: () => 0 });
      const handler = () => client[act]();
      client.on(event, handler);
      client.subscribe("a").catch(() => {});
      const serve = () => network.last.requests().forEach((r) => !network.last.closed && network.last.reply(r, { group: "a", epoch: "e", offset: 1 }));
      for (const code of [1006, 4403]) {
        if (!network.last.closed) serve();
        if (!network.last.closed) network.last.deliver({ type: "subscription-update", data: { type: "resync", group: "a", offset: 2 } });
        if (!network.last.closed) network.last.drop(code);
        await clock.run(500);
        if (!network.last.closed) network.last.open();
        await settled();
      }
      client.off(event, handler);
      client.close();
      const seen = names().filter((n) => ["open", "closed"].includes(n));
      for (let n = 0; n < seen.length; n++) assert.equal(seen[n], n % 2 ? "closed" : "open", `${event} ${act}: ${seen}`);
      assert.equal(seen.length % 2, 0, `${event} ${act}: ${seen}`);
    }
  }
});

test("watch.on(status) tells each status once", async (t) => {
  const { clock, network, watch, reply } = await board(t, {}, null);
  const seen = [];
  watch.on("status", (status) => seen.push(status));
  reply({ offset: 10, snapshot: [] });
  network.last.drop();
  await clock.run(500);
  network.last.open();
  reply({ offset: 10, recovered: true, missed: 0 });
  watch.close();
  assert.deepEqual(seen, ["live", "stale", "recovering", "live", "closed"]);
});

test("the delays before an attempt can be set", async (t) => {
  const { clock, network } = setup(t, { random: () => 0.999999, reconnectDelay: { min: 100, max: 300 } });
  await settled();
  for (const delay of [200, 300, 300]) {
    network.last.drop();
    assert.equal(Math.round(clock.next), delay);
    await clock.run(delay);
  }
});

test("debug writes frames and events to the console", async (t) => {
  const lines = t.mock.method(console, "debug", () => {});
  const { network, client } = await connected(t, { debug: true });
  client.call("a").catch(() => {});
  network.last.deliver({ id: 1, data: 2 });
  const kinds = lines.mock.calls.map((call) => call.arguments.slice(0, 2).join(" "));
  for (const kind of ["rohrpost send", "rohrpost message", "rohrpost status"]) assert.ok(kinds.includes(kind), kind);
});

test("a token is renewed shortly before it expires, and 4001 reconnects with it at once", async (t) => {
  let asked = 0;
  const { clock, network, client } = await connected(t, { token: () => `t${++asked}`, pingInterval: 0 });
  network.last.welcome({ expires_in: 100 });
  await clock.run(79_999);
  assert.equal(asked, 1);
  await clock.run(1);
  assert.equal(asked, 2);
  client.call("a").catch(() => {});
  assert.equal(network.last.requests()[0].auth_jwt, "t2");
  network.last.drop(4001, "identity expired");
  await clock.run(0);
  network.last.open();
  assert.deepEqual([network.last.hello.data.token, asked], ["t2", 2]);
});

// ---- engines

test("a page that returns from the back/forward cache opens a new socket at once", async (t) => {
  const { on } = stubBrowser(t);
  const { network, client } = await connected(t);
  on("pageshow");
  await settled();
  assert.equal(network.sockets.length, 1, "a page that was loaded");
  on("pageshow", { persisted: true });
  await settled();
  assert.equal(network.sockets.length, 2);
  assert.ok(network.sockets[0].closed);
  network.last.open();
  assert.equal(client.status, "live");
});

test("after the back/forward cache earlier failures do not count", async (t) => {
  const { on } = stubBrowser(t);
  const { clock, network } = setup(t, { random: () => 0.999999 });
  await settled();
  for (const delay of [1000, 2000, 4000]) {
    network.last.drop();
    await clock.run(delay);
  }
  on("pageshow", { persisted: true });
  await settled();
  network.last.drop();
  assert.equal(Math.round(clock.next), 1000);
});

test("a page that closes the hub on pagehide connects again", async (t) => {
  const { client, network } = await connected(t);
  client.close();
  client.connect();
  await settled();
  network.last.open();
  assert.equal(client.status, "live");
});

for (const type of ["online", "visibilitychange"]) {
  test(`${type} abandons a hanging attempt and makes it anew at once`, async (t) => {
    const { on } = stubBrowser(t);
    const { clock, network } = setup(t, { random: () => 0 });
    await clock.run(1000);
    on(type);
    await settled();
    assert.equal(network.sockets.length, 2);
    assert.ok(network.sockets[0].closed);
    network.last.open();
    assert.equal(network.last.hello.id, 0);
  });
}

test("an event during a young attempt abandons the attempt a second later", async (t) => {
  const { on } = stubBrowser(t);
  const { clock, network } = setup(t, { random: () => 0 });
  await clock.run(500);
  on("online");
  on("visibilitychange");
  await clock.run(999);
  assert.equal(network.sockets.length, 1, "the attempt may open");
  await clock.run(1);
  assert.equal(network.sockets.length, 2);
  assert.ok(network.sockets[0].closed);
});

test("an attempt that fails after an event is repeated soon, however many have failed", async (t) => {
  const { on } = stubBrowser(t);
  const { clock, network } = setup(t, { random: () => 0.999999 });
  await settled();
  for (const delay of [1000, 2000, 4000]) {
    network.last.drop();
    await clock.run(delay);
  }
  on("online");
  network.last.drop();
  assert.equal(Math.round(clock.next), 2000);
});

function stubEngine(t, userAgent) {
  const { navigator } = globalThis;
  Object.defineProperty(globalThis, "navigator", { value: { userAgent }, configurable: true });
  t.after(() => Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true }));
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
const chromium = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36";

// paths returns, for each failed attempt to reconnect, whether it had a path of its own.
async function paths({ clock, network }, count) {
  const own = [];
  network.last.drop();
  for (let n = 0; n < count; n++) {
    await clock.run(clock.next);
    own.push(network.last.url !== "ws://hub.test/");
    if (own.at(-1)) assert.match(network.last.url, /^ws:\/\/hub.test\/[a-z0-9]+$/);
    network.last.drop();
  }
  return own;
}

test("in Firefox attempts to reconnect have paths of their own where the hub answers a subtree", async (t) => {
  stubEngine(t, firefox);
  const page = await connected(t, { random: () => 0.3 });
  page.network.last.welcome({ subtree: true });
  assert.deepEqual(await paths(page, 7), [true, false, true, true, true, false, true], "a proxy may pass only one path");
  await page.clock.run(4000);
  page.network.last.open();
  page.network.last.welcome({ subtree: true });
  await page.clock.run(4000);
  assert.deepEqual(await paths(page, 7), Array(7).fill(true), "one of them has led to the hub");
});

test("in Firefox an attempt at the path of the hub, which may be held back, is given up after two seconds", async (t) => {
  stubEngine(t, firefox);
  const { clock, network } = await connected(t, { random: () => 0.3, reconnectDelay: { min: 500, max: 500 } });
  network.last.welcome({ subtree: true });
  network.last.drop();
  await clock.run(500);
  network.last.drop();
  await clock.run(0);
  assert.equal(network.last.url, "ws://hub.test/", "at once, as a proxy may pass only this one");
  await clock.run(1999);
  assert.equal(network.last.closed, false);
  await clock.run(1);
  assert.notEqual(network.last.url, "ws://hub.test/");
});

test("other engines, hubs on one path, and subtree: false keep the path of the hub", async (t) => {
  for (const [engine, options, welcome] of [
    [chromium, {}, { subtree: true }],
    [chromium, { subtree: true }, { subtree: true }],
    ["", {}, { subtree: true }],
    [firefox, {}, {}],
    [firefox, { subtree: false }, { subtree: true }],
  ]) {
    stubEngine(t, engine);
    const page = await connected(t, { random: () => 0.3, ...options });
    page.network.last.welcome(welcome);
    assert.deepEqual(await paths(page, 4), Array(4).fill(false));
    page.client.close();
  }
});

test("subtree: true needs no hello", async (t) => {
  stubEngine(t, firefox);
  const page = setup(t, { random: () => 0.3, subtree: true });
  await settled();
  assert.equal(page.network.last.url, "ws://hub.test/");
  assert.deepEqual(await paths(page, 4), Array(4).fill(true));
});

test("retry_after arrives with the code 1001, also as JSON", async (t) => {
  for (const reason of ['{"retry_after":7}', '{"retry_after": 7.0}', "service restart; retry_after=7"]) {
    const { clock, network, client } = await connected(t);
    network.last.drop(1001, reason);
    assert.equal(clock.next, 7000);
    client.close();
  }
});

test("an impossible connection is one error, then closed", async (t) => {
  const throwing = (message) =>
    class {
      constructor() {
        throw new DOMException(message, "SyntaxError");
      }
    };
  for (const [url, WebSocket] of [
    ["ws://hub.test/#here", throwing("the URL contains a fragment")],
    ["ftp://hub.test/", throwing("the scheme is not allowed")],
    ["ws://hub.test/", throwing("mixed content")],
    ["ws://hub.test/", null],
    ["/ws/", throwing("a relative URL")],
  ]) {
    const { clock, client, of, names } = setup(t, { WebSocket: WebSocket ?? undefined, url, ...(WebSocket === null && { WebSocket: null }) });
    const ready = client.watch("a").ready.catch((error) => error);
    await clock.run(60_000);
    assert.deepEqual([client.status, ids(of("error"))], ["closed", ["cannot_connect"]], url);
    assert.deepEqual(names().filter((n) => n !== "status"), ["error"]);
    assert.equal((await ready).code, "cannot_connect");
  }
});

test("the Content Security Policy forbids the hub", async (t) => {
  const { on } = stubBrowser(t);
  const { clock, network, client, of } = setup(t);
  await settled();
  on("securitypolicyviolation", { blockedURI: "https://other.test/a.js", disposition: "enforce" });
  on("securitypolicyviolation", { blockedURI: "ws://hub.test/", disposition: "report" });
  assert.equal(client.status, "connecting");
  on("securitypolicyviolation", { blockedURI: "ws://hub.test/", disposition: "enforce" });
  network.last.client.onclose({ code: 1006 });
  await clock.run(60_000);
  assert.deepEqual([client.status, ids(of("error")), network.sockets.length], ["closed", ["cannot_connect"], 1]);
});

test("browsers block ports, and connections without TLS from pages over TLS", async (t) => {
  stubBrowser(t);
  t.after(() => {
    delete globalThis.location;
    delete globalThis.isSecureContext;
  });
  for (const [url, page, why] of [
    ["ws://hub.test:6000/", "http:", "blocked port"],
    ["ws://hub.test:6001/", "http:", undefined],
    ["ws://hub.test/", "http:", undefined],
    ["ws://hub.test/", "https:", "mixed content"],
    ["ws://hub.test:8080/", "https:", "mixed content"],
    ["wss://hub.test/", "https:", undefined],
    ["ws://localhost/", "https:", undefined],
    ["ws://board.localhost/", "https:", undefined],
    ["ws://127.0.0.1/", "https:", undefined],
    ["ws://[::1]:8080/", "https:", undefined],
    ["ws://localhost.test/", "https:", "mixed content"],
  ]) {
    Object.assign(globalThis, { location: { protocol: page }, isSecureContext: page === "https:" });
    const { clock, network, client, of } = setup(t, { url });
    await settled();
    network.last.drop();
    await import("../blocked.js");
    await settled();
    await clock.run(100);
    assert.deepEqual(ids(of("error")), why ? ["cannot_connect"] : [], url);
    if (why) assert.ok(of("error")[0].message.endsWith(why));
    client.close();
  }
});

test("an error without a close is a loss", async (t) => {
  const { clock, network } = setup(t, { random: () => 0 });
  await settled();
  network.last.client.readyState = 3;
  network.last.client.onerror({});
  await clock.run(500);
  assert.equal(network.sockets.length, 2);
});

test("relative URLs", async (t) => {
  t.after(() => {
    delete globalThis.document;
    delete globalThis.location;
  });
  for (const [document, location, want] of [
    [{ baseURI: "https://example.org/app/" }, { origin: "null", href: "about:srcdoc" }, "wss://example.org/app/ws"],
    [undefined, { origin: "https://example.org", href: "blob:https://example.org/1" }, "wss://example.org/ws"],
    [undefined, { origin: "null", href: "http://127.0.0.1/a/" }, "ws://127.0.0.1/a/ws"],
  ]) {
    globalThis.document = document;
    globalThis.location = location;
    const { network, client } = setup(t, { url: "ws" });
    await settled();
    assert.equal(network.last.url, want);
    client.close();
  }
});

test("a relative URL without a page does not throw", async (t) => {
  const { clock, client, of } = setup(t, { url: "/ws" });
  await clock.run(1000);
  assert.deepEqual([client.status, ids(of("error"))], ["closed", ["cannot_connect"]]);
  assert.throws(() => new Rohrpost("ws://"), TypeError);
});
