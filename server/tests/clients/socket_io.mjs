// Runs socket.io-client against a server that is up, over every transport.
//
//   node socket_io.mjs <url> <token of a user> <token of an admin> [part of a test's name]
//
// Ends with 0 when everything came as it should; prints the first thing that did not.
import assert from "node:assert/strict";
import { once } from "node:events";
import { io } from "socket.io-client";
import WebSocket from "ws";

const [url, token, adminToken, dashboardToken, only = ""] = process.argv.slice(2);
if (!url || !token || !adminToken || !dashboardToken) {
  console.error(
    "usage: node socket_io.mjs <url> <token of a user> <token of an admin> <token of the dashboard>",
  );
  process.exit(2);
}

// Only a failing run waits for this.
const PATIENCE_MS = 30_000;
const open = new Set();

async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function client(transports, auth = {}) {
  const socket = io(url, {
    path: "/v1/updates",
    transports,
    auth: { token, ...auth },
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
  });
  open.add(socket);
  return socket;
}

async function connected(transports, auth) {
  const socket = client(transports, auth);
  await heard(socket, "connect");
  return socket;
}

async function heard(socket, event) {
  const failed = new Promise((_, reject) => {
    if (event === "connect") {
      socket.once("connect_error", reject);
    }
  });
  const value = new Promise((resolve) => socket.once(event, (...args) => resolve(args[0])));
  return within(`"${event}"`, Promise.race([value, failed]));
}

async function asked(socket, event, data) {
  const answer = data === undefined ? socket.emitWithAck(event) : socket.emitWithAck(event, data);
  return within(`the ack of "${event}"`, answer);
}

// The plain transport of the same server.
async function plain(query = {}) {
  const address = new URL("/v1/updates", url.replace(/^http/, "ws"));
  address.search = new URLSearchParams({ token, ...query });
  const socket = new WebSocket(address);
  const waiting = [];
  const messages = [];
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    const next = waiting.shift();
    if (next) {
      next(message);
    } else {
      messages.push(message);
    }
  });
  open.add({ close: () => socket.terminate() });
  await within("an open WebSocket", once(socket, "open"));
  const next = () =>
    within(
      "a message",
      messages.length > 0
        ? Promise.resolve(messages.shift())
        : new Promise((resolve) => waiting.push(resolve)),
    );
  assert.equal((await next()).event, "connected");
  return { next, send: (message) => socket.send(JSON.stringify(message)) };
}

// A test counts who gets something, so nobody of the last one may be left.
async function deserted() {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
    const stats = await request("GET", "/v1/websocket/stats", token);
    if (stats.totalConnections === 0) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("connections are left that nobody has");
}

async function request(method, path, bearer, body) {
  const response = await within(
    `${method} ${path}`,
    fetch(new URL(path, url), {
      method,
      headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  );
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

const tests = {
  async "connects and is acknowledged"(transports) {
    const socket = await connected(transports);
    assert.match(socket.id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(await asked(socket, "ping"), {});
  },

  async "is refused with the reason, and stays refused"(transports) {
    for (const [auth, reason] of [
      [{ token: undefined }, "Missing authentication token"],
      [{ token: "bad" }, "Invalid authentication token"],
      [{ clientType: "session-scoped" }, "Session ID required for session-scoped clients"],
      [{ clientType: "machine-scoped" }, "Machine ID required for machine-scoped clients"],
    ]) {
      const socket = client(transports, auth);
      const error = await heard(socket, "connect_error");
      assert.equal(error.message, reason);
      assert.equal(socket.active, false, "a refusal is final");
      socket.close();
    }
    const socket = io(`${url}/elsewhere`, {
      path: "/v1/updates",
      transports,
      auth: { token },
      forceNew: true,
    });
    open.add(socket);
    assert.equal((await heard(socket, "connect_error")).message, "Invalid namespace");
  },

  async "sends events that were buffered before it was connected"(transports) {
    const [one, two] = [await connected(transports), client(transports)];
    const got = [];
    const all = new Promise((resolve) => {
      one.on("broadcast", (data) => {
        got.push(data.number);
        if (got.length === 20) {
          resolve();
        }
      });
    });
    for (let number = 0; number < 20; number += 1) {
      two.emit("broadcast", { number });
    }
    await within("twenty events", all);
    assert.deepEqual(
      got,
      Array.from({ length: 20 }, (_, number) => number),
    );
  },

  async "carries binary values both ways and in acks"(transports) {
    const [one, two] = [await connected(transports), await connected(transports)];
    const blob = Buffer.from([0, 1, 2, 0x1e, 255]);
    const got = heard(one, "broadcast");
    const ack = await asked(two, "broadcast", { blob, list: [Buffer.alloc(0), "text"] });
    assert.equal(ack.success, true);
    const data = await got;
    assert.deepEqual([Buffer.from(data.blob), data.list[1]], [blob, "text"]);
    assert.equal(data.list[0].byteLength, 0);

    one.on("rpc-request", (call, answer) => answer(call.params));
    const registered = heard(one, "rpc-registered");
    one.emit("rpc-register", { method: "binary:echo" });
    assert.deepEqual(await registered, { method: "binary:echo" });
    const result = await asked(two, "rpc-call", { method: "binary:echo", params: { blob } });
    assert.equal(result.ok, true);
    assert.deepEqual(Buffer.from(result.result.blob), blob);
  },

  async "calls and is called, from and to plain clients as well"(transports) {
    const daemon = await connected(transports, { clientType: "machine-scoped", machineId: "m1" });
    daemon.on("rpc-request", (call, answer) => answer(`${call.method} ${call.params}`));
    const app = await connected(transports);
    // Nobody serves it yet: the call waits for the registration.
    const early = asked(app, "rpc-call", { method: "m1:run", params: "early" });
    assert.deepEqual(await asked(app, "ping"), {});
    const registered = heard(daemon, "rpc-registered");
    daemon.emit("rpc-register", { method: "m1:run" });
    await registered;
    assert.equal((await early).result, "m1:run early");
    const late = await asked(app, "rpc-call", { method: "m1:run", params: "late" });
    assert.deepEqual([late.ok, late.result], [true, "m1:run late"]);
    const own = await asked(daemon, "rpc-call", { method: "m1:run", params: "own" });
    assert.deepEqual([own.ok, own.error], [false, "Cannot call RPC on the same socket"]);
    const bad = await asked(app, "rpc-call", {});
    assert.equal(bad.error, "Invalid parameters: method is required");

    const other = await plain();
    other.send({ event: "rpc-call", data: { method: "m1:run", params: "plain" }, ackId: "a" });
    const answer = await other.next();
    assert.deepEqual([answer.ackId, answer.ack.result], ["a", "m1:run plain"]);
    const machine = await plain({ clientType: "machine-scoped", machineId: "m2" });
    const call = asked(app, "rpc-call", { method: "m2:run", params: "x" });
    const asks = await machine.next();
    assert.deepEqual([asks.event, asks.data.params], ["rpc-request", "x"]);
    machine.send({ event: "rpc-response", ackId: asks.ackId, ack: "from plain" });
    assert.equal((await call).result, "from plain");
    const gone = asked(app, "rpc-call", { method: "m1:stuck", params: "x" });
    daemon.off("rpc-request");
    daemon.emit("rpc-register", { method: "m1:stuck" });
    await heard(daemon, "rpc-request");
    daemon.close();
    assert.equal((await gone).error, "RPC target disconnected");
  },

  async "is in the rooms of its client type, session and machine"(transports) {
    const sockets = {
      user: await connected(transports),
      session: await connected(transports, { clientType: "session-scoped", sessionId: "s1" }),
      other: await connected(transports, { clientType: "session-scoped", sessionId: "s2" }),
      machine: await connected(transports, { clientType: "machine-scoped", machineId: "m1" }),
    };
    const rooms = [
      [{ type: "all" }, ["user", "session", "other", "machine"]],
      [{ type: "user-scoped-only" }, ["user"]],
      [{ type: "session", sessionId: "s1" }, ["session"]],
      [{ type: "all-interested-in-session", sessionId: "s2" }, ["user", "other"]],
      [{ type: "machine-scoped-only", machineId: "m1" }, ["user", "machine"]],
      [{ type: "exclude", connectionId: sockets.user.id }, ["session", "other", "machine"]],
    ];
    const got = Object.fromEntries(Object.keys(sockets).map((name) => [name, []]));
    for (const [name, socket] of Object.entries(sockets)) {
      socket.on("note", (data) => got[name].push(data.room));
    }
    const expected = Object.fromEntries(Object.keys(sockets).map((name) => [name, []]));
    for (const [room, [filter, names]] of rooms.entries()) {
      const message = { type: "note", payload: { room }, timestamp: Date.now() };
      const body = { message, filter };
      const answer = await request("POST", "/v1/websocket/broadcast", token, body);
      assert.equal(answer.delivered, names.length, JSON.stringify(filter));
      names.forEach((name) => expected[name].push(room));
    }
    // What was sent before the answer to a ping has come.
    await Promise.all(Object.values(sockets).map((socket) => asked(socket, "ping")));
    assert.deepEqual(got, expected);
  },

  async "hears plain clients and is heard by them"(transports) {
    const [socket, other] = [await connected(transports), await plain()];
    other.send({ event: "broadcast", data: { from: "plain" } });
    assert.deepEqual(await heard(socket, "broadcast"), { from: "plain" });
    socket.emit("broadcast", { from: "socket.io", blob: Buffer.from("hi") });
    assert.deepEqual((await other.next()).data, { from: "socket.io", blob: { $binary: "aGk=" } });
  },

  async "carries large messages"(transports) {
    const [one, two] = [await connected(transports), await connected(transports)];
    const text = "x".repeat(2_000_000);
    const got = heard(one, "broadcast");
    two.emit("broadcast", { text });
    assert.equal((await got).text.length, text.length);
  },

  async "comes back after its transport is lost"(transports) {
    const socket = await connected(transports);
    const before = socket.id;
    const lost = heard(socket, "disconnect");
    socket.io.engine.close();
    await lost;
    await heard(socket, "connect");
    assert.notEqual(socket.id, before);
    assert.deepEqual(await asked(socket, "ping"), {});
  },

  async "stays away once it is thrown out"(transports) {
    const socket = await connected(transports);
    const lost = heard(socket, "disconnect");
    await request("DELETE", `/admin/v1/connections/${socket.id}`, adminToken);
    assert.equal(await lost, "io server disconnect");
    assert.equal(socket.active, false);
  },
};

// A client of the dashboard with what it is told from the first.
function dashboard(transports, query) {
  const socket = io(url, {
    transports,
    query,
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
  });
  open.add(socket);
  const told = [];
  const waiting = [];
  socket.onAny((event, data) => {
    told.push([event, data]);
    waiting.shift()?.();
  });
  // The next event of this name; what comes before it must be of those named.
  const next = async (event, before = []) => {
    for (;;) {
      if (told.length === 0) {
        await within(`"${event}"`, new Promise((resolve) => waiting.push(resolve)));
      }
      const [name, data] = told.shift();
      if (name === event) {
        return data;
      }
      assert.ok(before.includes(name) || name === "heartbeat", `${name} before ${event}`);
    }
  };
  return { socket, next };
}

const dashboardTests = {
  async "is told the state first, and each step of a task"(transports) {
    await request("PUT", "/v1/dashboard/agents/ada", dashboardToken, { role: "tester" });
    const [one, two] = [dashboard(transports), dashboard(transports)];
    for (const { next } of [one, two]) {
      const init = await next("init");
      assert.equal(init.agents[0].name, "ada");
      assert.ok(Array.isArray(init.tasks) && Array.isArray(init.pendingDrafts));
    }
    const task = { agentId: "ada", title: "t", description: "d", priority: "normal" };
    const ack = await asked(one.socket, "task:assign", task);
    assert.equal(ack.success, true);
    for (const { next } of [one, two]) {
      assert.equal((await next("agent:status")).status, "working");
      for (const progress of [0, 25, 50, 75, 100]) {
        const told = await next("task:progress");
        assert.deepEqual([told.taskId, told.progress], [ack.taskId, progress]);
        assert.ok(Number.isInteger(told._emitTimestamp));
      }
      assert.equal((await next("task:completed")).taskId, ack.taskId);
      assert.equal((await next("agent:status")).status, "idle");
    }
    const unknown = await asked(one.socket, "task:assign", { ...task, agentId: "nobody" });
    assert.deepEqual(unknown, { success: false, error: "Agent nobody not found" });
    // Without a callback: nothing may be called, and the process must live.
    one.socket.emit("message:send", { toAgentId: "ada", subject: "s", body: "b" });
    assert.equal((await two.next("message:new")).message.subject, "s");
  },

  async "is told the state anew after its transport is lost"(transports) {
    const { socket, next } = dashboard(transports);
    await next("init");
    socket.emit("state:sync", { camera: { x: 1, y: 2, zoom: 3 }, ui: { open: true } });
    assert.deepEqual(await asked(socket, "ping"), {});
    socket.io.engine.close();
    const { gameState } = await next("init");
    assert.deepEqual(gameState.cameraPosition, { x: 1, y: 2, zoom: 3 });
  },

  async "decides about drafts"(transports) {
    const { socket, next } = dashboard(transports);
    await next("init");
    const content = { recipient: "r", subject: "s", body: "b" };
    const data = { fromAgent: "ada", content };
    const { id } = await request("POST", "/v1/dashboard/events", dashboardToken, {
      event: "draft:pending",
      data,
    });
    assert.deepEqual((await next("draft:pending")).content, content);
    assert.deepEqual(await asked(socket, "draft:reject", { draftId: id }), { success: true });
    assert.equal((await next("draft:rejected")).draftId, id);
  },

  async "looks at one organisation, its agents and threads"(transports) {
    const { socket, next } = dashboard(transports, { orgSlug: "default" });
    assert.equal((await next("snapshot")).type, "snapshot");
    const tell = (event, data) =>
      request("POST", "/v1/dashboard/events", dashboardToken, { event, data });
    await tell("agent_event", { agentId: "a1", number: 1 });
    assert.deepEqual(await asked(socket, "join_agent", "a1"), { success: true });
    await tell("agent_event", { agentId: "a1", number: 2 });
    const event = await next("agent_event");
    assert.deepEqual([event.number, event.orgSlug], [2, "default"]);
    await asked(socket, "leave_agent", "a1");
    await tell("agent_event", { agentId: "a1", number: 3 });
    await tell("org_changed", {});
    await next("org_changed");
    await asked(socket, "join_thread", "t1");
    const turn = await asked(socket, "chat_message", { threadId: "t1", body: "hello" });
    let said = "";
    for (;;) {
      const part = await next("main_agent_stream", ["message_created"]);
      assert.equal(part.turnId, turn.turnId);
      if (part.type === "turn_complete") {
        assert.equal(part.fullText, said);
        break;
      }
      said += part.text ?? "";
    }
    assert.equal((await asked(socket, "switch_org", "secret")).success, false);
    const other = io(url, { transports, query: { orgSlug: "secret" }, forceNew: true });
    open.add(other);
    const refusal = await heard(other, "connect_error");
    assert.equal(refusal.message, "Not a member of this organisation");
  },

  async "knows no other namespace"(transports) {
    const socket = io(`${url}/elsewhere`, { transports, forceNew: true });
    open.add(socket);
    assert.equal((await heard(socket, "connect_error")).message, "Invalid namespace");
  },
};

const onlyAfterAnUpgrade = {
  async "changes to WebSocket in the middle of traffic, in order"() {
    const [one, two] = [client(["polling", "websocket"]), client(["polling", "websocket"])];
    const upgraded = [one, two].map(
      (socket) => new Promise((resolve) => socket.io.engine.once("upgrade", resolve)),
    );
    const got = [];
    const all = new Promise((resolve) => {
      one.on("broadcast", (data) => {
        got.push(data.number);
        if (got.length === 300) {
          resolve();
        }
      });
    });
    await heard(one, "connect");
    let number = 0;
    const send = (count) => {
      for (const end = number + count; number < end; number += 1) {
        two.emit("broadcast", { number });
      }
    };
    send(100);
    await asked(two, "ping");
    send(100);
    await within("both upgrades", Promise.all(upgraded));
    send(100);
    await within("three hundred events", all);
    assert.deepEqual(
      got,
      Array.from({ length: 300 }, (_, index) => index),
    );
    assert.equal(one.io.engine.transport.name, "websocket");
  },
};

async function run(transports, tests) {
  for (const [name, test] of Object.entries(tests)) {
    if (!name.includes(only)) {
      continue;
    }
    try {
      await test(transports);
    } finally {
      open.forEach((socket) => socket.close());
      open.clear();
      await deserted();
    }
    console.log(`ok: ${transports.join(" then ")}: ${name}`);
  }
}

try {
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    await run(transports, tests);
    await run(transports, dashboardTests);
  }
  await run(["polling", "websocket"], onlyAfterAnUpgrade);
} catch (error) {
  console.error(error);
  process.exit(1);
}
