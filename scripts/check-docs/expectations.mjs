// What the blocks of JavaScript in the documentation need around them, and what they must achieve.

import { generateKeyPairSync, sign } from "node:crypto"
import { createRequire } from "node:module"
import { join } from "node:path"
import vm from "node:vm"

const require = createRequire(join(import.meta.dirname, "../../server/tests/clients/package.json"))
const WebSocket = require("ws")
const { io } = require("socket.io-client")

/** Longest wait for what a block must achieve, milliseconds. */
const PATIENCE = 20_000

/** Waits until `look` finds something. */
async function until(look, what) {
  const end = performance.now() + PATIENCE
  for (;;) {
    const found = look()
    if (found) return found
    if (performance.now() > end) throw new Error(`this did not come: ${what}`)
    await new Promise((done) => setTimeout(done, 10))
  }
}

/**
 * Runs a block as a browser's console would. `script.given(session)` makes what the page leaves to
 * its reader; `script.then({context, frames, session})` fails unless the block did what it should.
 * Sockets stay open until the page ends, unless `then` comes to false.
 */
export async function runScript(text, script, session) {
  await session.serve()
  const frames = []
  const opened = []
  // Sees what each socket of the block gets.
  class Watched extends WebSocket {
    constructor(...parameters) {
      super(...parameters)
      opened.push(this)
      this.on("message", (data) => frames.push(JSON.parse(data)))
    }
  }
  const given = (await script.given?.(session)) ?? {}
  const { replace = [], ...globals } = given
  const context = session.context && script.continues
    ? Object.assign(session.context, globals)
    : vm.createContext({
        WebSocket: Watched, console: { log() {} }, crypto, fetch, URL, Response, Request, setTimeout, clearTimeout,
        io: (...parameters) => {
          const socket = io(...parameters)
          opened.push({ close: () => socket.disconnect() })
          return socket
        },
        ...globals,
      })
  if (!script.continues) Object.assign(session, { context, frames })
  session.ends = [...(session.ends ?? []), ...(script.continues ? [] : [() => opened.forEach((socket) => socket.close())])]
  let code = session.here(text)
    // Modules are given by the context.
    .replaceAll(/^import .*$/gm, "")
    .replaceAll(/^export class (\w+)/gm, "globalThis.$1 = class $1")
  for (const [from, to] of replace) {
    if (!code.includes(from)) throw new Error(`the block has no ${from} any more`)
    code = code.replaceAll(from, to)
  }
  // Consoles and modules let blocks wait at their top.
  if (/^(?![\s/]).*\bawait\b/m.test(code)) {
    code = `(async () => {\n${code.replaceAll(/^const (\w+) =/gm, "globalThis.$1 =")}\n})()`
  }
  await vm.runInContext(code, context)
  let timer
  const late = new Promise((_, failed) => { timer = setTimeout(() => failed(new Error("what it must achieve did not come")), PATIENCE) })
  const achieved = script.then({ context, frames: session.frames, session, until })
  const isOver = (await Promise.race([achieved, late]).finally(() => clearTimeout(timer))) === false
  if (isOver) opened.forEach((socket) => socket.close())
}

const greeted = ({ frames, until }) => until(() => frames.find(({ event }) => event === "connected"), "the greeting")

const user = async (session, name) => session.ask(`dormouse token --user ${name}`)

/** Signs in with a new key; resolves to the status and the answer. */
async function signIn(session) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const challenge = Buffer.from("a challenge")
  const response = await fetch(`${session.address}/v1/auth`, {
    method: "POST",
    body: JSON.stringify({
      publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64"),
      challenge: challenge.toString("base64"),
      signature: sign(null, challenge, privateKey).toString("base64"),
    }),
  })
  return { status: response.status, answer: await response.json() }
}

/** By page: replacements in its commands, and what each block of JavaScript must achieve. */
export const pages = {
  "README.md": {
    before: async (session) => {
      await session.serve()
      return [["Bearer …", `Bearer ${await user(session, "demo")}`]]
    },
    scripts: [
      { given: async (session) => ({ replace: [["token=…", `token=${await user(session, "demo")}`]] }), then: greeted },
      {
        continues: true,
        then: async ({ frames, until }) => {
          await until(() => frames.find(({ event, data }) => event === "hello" && data.text === "hi"), "what curl sent")
          await until(() => frames.find(({ event, ackId, ack }) => event === "ack" && ackId === "1" && ack.success), "the ack")
        },
      },
    ],
  },
  "accounts.md": {
    before: async (session) => {
      await session.ask("export DORMOUSE_AUTH__SIGNUP=approval")
      await session.serve()
      const { status, answer } = await signIn(session)
      if (status !== 403 || !answer.accountId) throw new Error(`a new key was answered with ${status}: ${JSON.stringify(answer)}`)
      await session.ask("dormouse invite create --note earlier")
      const invite = await session.ask("dormouse invite list | tail -1 | cut -d' ' -f1")
      const example = "0199f3c2a1b27c33a3d6c3e5f8a1b2c4"
      return [[`account approve ${example}`, `account approve ${answer.accountId}`], [`invite revoke ${example}`, `invite revoke ${invite}`]]
    },
  },
  "dashboard.md": {
    before: async (session) => {
      await session.ask("export DORMOUSE_DASHBOARD__ORGANISATIONS=default,acme")
      await session.serve()
      const authorization = `Bearer ${await user(session, "dashboard")}`
      const path = `${session.address}/v1/dashboard/agents/ada`
      const response = await fetch(path, { method: "PUT", headers: { authorization }, body: "{}" })
      if (response.status !== 200) throw new Error(`an agent was answered with ${response.status}`)
      return []
    },
    scripts: [
      { then: async ({ context, until }) => until(() => vm.runInContext("socket.connected", context), "the connection") },
      {
        given: async (session) => ({ url: session.address, token: await user(session, "alice") }),
        then: async ({ context }) => {
          const answer = await vm.runInContext('socket.emitWithAck("chat_interrupt", { threadId: "t1" })', context)
          // It looks at another organisation by now, where nothing is said.
          if (answer?.success !== false) throw new Error(`the interrupt came to ${JSON.stringify(answer)}`)
        },
      },
    ],
  },
  "events.md": {
    before: async (session) => {
      const key = await session.ask("dormouse apikey create --name earlier")
      return [["dm_AbCdE", key.slice(0, 8)]]
    },
    scripts: [{
      then: async ({ frames, session, until }) => {
        await until(() => frames.find(({ type }) => type === "subscribed"), "the subscription")
        const response = await fetch(`${session.address}/api/v1/events`, {
          method: "POST",
          headers: { "X-API-Key": "test-api-key" },
          body: JSON.stringify({ event: "call.started", data: { callId: "c-2" } }),
        })
        if (response.status !== 200) throw new Error(`publishing was answered with ${response.status}`)
        await until(() => frames.find((frame) => JSON.stringify(frame).includes("c-2")), "the event")
      },
    }],
  },
  "getting-started.md": {
    scripts: [{
      given: async (session) => ({ replace: [['"TOKEN"', JSON.stringify(await user(session, "alice"))]] }),
      then: greeted,
    }],
  },
  "migrating-from-durable-objects.md": {
    scripts: [
      { given: workersRuntime, then: durableObject },
      {
        given: async (session) => {
          const answer = await fetch(`${session.address}/v1/websocket/ticket`, {
            method: "POST", headers: { Authorization: `Bearer ${await user(session, "alice")}` },
          })
          return { ticket: (await answer.json()).ticket }
        },
        then: async (seen) => {
          await greeted(seen)
          // The commands below it speak for this user.
          await seen.session.ask('TOKEN=$(dormouse token --user alice)')
        },
      },
    ],
  },
  "migrating-from-socketio.md": {
    before: async (session) => {
      await session.ask("TOKEN=$(dormouse token --user alice)")
      return []
    },
    scripts: [
      {
        given: async (session) => ({ token: await user(session, "alice") }),
        then: async ({ context, until }) => until(() => vm.runInContext("socket.connected", context), "the connection"),
      },
      {
        given: async (session) => {
          const token = await user(session, "bob")
          const socket = new WebSocket(`ws://${session.host}/v1/updates?token=${token}`)
          const notes = []
          await new Promise((done, failed) => {
            socket.once("message", done)
            socket.once("error", failed)
          })
          return { socket, notes, data: { text: "hi" }, handlers: { note: (data) => notes.push(data) } }
        },
        then: async ({ context, session, until }) => {
          const answer = await vm.runInContext('ask("broadcast", data)', context)
          if (answer?.success !== true) throw new Error(`ask came to ${JSON.stringify(answer)}`)
          const token = await user(session, "bob")
          await fetch(`${session.address}/v1/websocket/broadcast`, {
            method: "POST", headers: { Authorization: `Bearer ${token}` },
            body: JSON.stringify({ message: { type: "note", payload: { text: "for handlers" } } }),
          })
          await until(() => context.notes.some(({ text }) => text === "for handlers"), "a note in its handler")
          context.socket.close()
        },
      },
    ],
  },
  "operations.md": {
    before: async (session) => {
      // Whether it works, not what it measures.
      await session.ask("export DORMOUSE_SHARD__HIBERNATE_AFTER=1s")
      return [
        ["/var/lib/dormouse", `${session.folder}/data`],
        ["/var/backups", session.folder],
        ["--connections 2000", "--connections 100"],
      ]
    },
  },
  "socket-io.md": {
    scripts: [{
      given: async (session) => ({ token: await user(session, "alice") }),
      then: async ({ context, until }) => {
        await until(() => vm.runInContext("socket.connected", context), "the connection")
        // The program below it counts connections.
        return false
      },
    }],
  },
}

/** As much of the Workers runtime as a ConnectionManager touches. */
async function workersRuntime() {
  class Socket {
    sent = []
    send(text) { this.sent.push(text) }
    serializeAttachment(attachment) { this.attachment = attachment }
  }
  return {
    DurableObject: class { constructor(ctx, env) { Object.assign(this, { ctx, env }) } },
    WebSocketPair: class { 0 = new Socket(); 1 = new Socket() },
    verify: async (token, secret) => (token === "good" && secret === "s" ? "alice" : null),
    // That of Node refuses status 101, which is what a Worker answers an upgrade with.
    Response: class {
      constructor(body, { status = 200, webSocket } = {}) { Object.assign(this, { body, status, webSocket }) }
      static json(value) { return new this(JSON.stringify(value)) }
    },
  }
}

/** The example before the migration does what the page says that it did. */
async function durableObject({ context }) {
  const sockets = []
  const ctx = {
    acceptWebSocket: (socket, tags) => sockets.push([socket, tags]),
    getWebSockets: (tag) => sockets.filter(([, tags]) => tag === undefined || tags.includes(tag)).map(([socket]) => socket),
  }
  const object = new context.ConnectionManager(ctx, { SECRET: "s" })
  const at = (path, init) => object.fetch(new Request(`https://example.com${path}`, init))
  const statuses = []
  for (const token of ["bad", "good", "good"]) statuses.push((await at(`/websocket?token=${token}&clientType=user-scoped`)).status)
  const sent = await at("/broadcast", { method: "POST", body: JSON.stringify({ message: { n: 1 }, type: "user-scoped" }) })
  const stats = await at("/stats")
  const seen = JSON.stringify([statuses, sent.body, stats.body, sockets.map(([{ sent, attachment }]) => [sent, attachment.user])])
  const told = JSON.stringify([[401, 101, 101], '{"delivered":2}', '{"total":2}', Array(2).fill([['{"n":1}'], "alice"])])
  if (seen !== told) throw new Error(`the example did ${seen}, not ${told}`)
  while (sockets.length < 100) sockets.push(sockets[0])
  const full = await at("/websocket?token=good&clientType=user-scoped")
  if (full.status !== 429) throw new Error(`over the cap it answered ${full.status}`)
}
