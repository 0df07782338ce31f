#!/usr/bin/env node
// Tries the shipped files of nginx and Caddy for real: each proxy is started with its file, a
// certificate made for it, in front of a real server, and then a WebSocket, the admin page with its
// live feed, and Socket.IO by long polling must work through it. Its log must hold no token.
//
// Needs a built dormouse (DORMOUSE_BINARY, or target/debug/dormouse), the commands nginx, caddy and
// openssl, and the packages of server/tests/clients (`npm ci` there). Uses ports of the loopback;
// ends what it starts.

import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { Agent, request } from "node:https"
import { createRequire } from "node:module"
import { createServer, connect } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { createInterface } from "node:readline"

const DEPLOY = import.meta.dirname
const BINARY = process.env.DORMOUSE_BINARY ?? resolve(DEPLOY, "../target/debug/dormouse")
const require = createRequire(resolve(DEPLOY, "../server/tests/clients/package.json"))
const WebSocket = require("ws")
const { io } = require("socket.io-client")
/** The name in the shipped files. */
const NAME = "ws.example.com"
/** Longest wait for anything, milliseconds. */
const PATIENCE = 60_000

const folder = mkdtempSync(join(tmpdir(), "dormouse-proxies-"))
const started = []
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("DORMOUSE_")))

function start(command, flags, more = {}) {
  const child = spawn(command, flags, { env: { ...environment, ...more }, stdio: ["ignore", "pipe", "pipe"] })
  const program = { child, said: "", ended: new Promise((done) => child.on("exit", done)) }
  started.push(async () => {
    child.kill("SIGTERM")
    await program.ended
  })
  child.stderr.on("data", (data) => { program.said += data })
  return program
}

const freePort = () => new Promise((found, failed) => {
  const server = createServer().on("error", failed)
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address()
    server.close(() => found(port))
  })
})

/** Waits until something takes connections at this port. */
async function listening(port, program, name) {
  const end = Date.now() + PATIENCE
  for (;;) {
    const isThere = await new Promise((done) => {
      const socket = connect(port, "127.0.0.1", () => done(true)).on("error", () => done(false))
      socket.on("connect", () => socket.destroy())
    })
    if (isThere) return
    if (program.child.exitCode !== null || Date.now() > end) throw new Error(`${name} does not listen:\n${program.said}`)
    await new Promise((done) => setTimeout(done, 50))
  }
}

function within(what, work) {
  let timer
  const late = new Promise((_, failed) => { timer = setTimeout(() => failed(new Error(`${what}: nothing came`)), PATIENCE) })
  return Promise.race([new Promise(work), late]).finally(() => clearTimeout(timer))
}

/** A text with each of the pairs replaced; all of them must be in it. */
function adapted(text, pairs) {
  return pairs.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the file has no “${from}” any more`)
    return text.replaceAll(from, to)
  }, text)
}

async function nginx(upstream, port) {
  const site = adapted(readFileSync(join(DEPLOY, "nginx/dormouse.conf"), "utf8"), [
    ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`],
    ["listen [::]:443 ssl;", ""],
    [`/etc/letsencrypt/live/${NAME}/fullchain.pem`, join(folder, "certificate.pem")],
    [`/etc/letsencrypt/live/${NAME}/privkey.pem`, join(folder, "key.pem")],
    ["/var/log/nginx/", `${folder}/nginx-`],
    ["server 127.0.0.1:8787;", `server ${upstream};`],
  ])
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/nginx-${kind};`).join("\n")
  writeFileSync(join(folder, "nginx.conf"), `
    daemon off;
    pid ${folder}/nginx.pid;
    worker_processes 1;
    events { worker_connections 256; }
    http { ${temporary} ${site} }`)
  const program = start("nginx", ["-e", "stderr", "-p", folder, "-c", join(folder, "nginx.conf")])
  await listening(port, program, "nginx")
  return () => readFileSync(join(folder, "nginx-dormouse.log"), "utf8")
}

async function caddy(upstream, port) {
  const home = join(folder, "caddy")
  mkdirSync(home)
  const file = adapted(readFileSync(join(DEPLOY, "caddy/Caddyfile"), "utf8"), [
    // Nothing of this host's Caddy is touched, and no certificate is asked for.
    ["\n{\n", "\n{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n"],
    [`\n${NAME} {\n`, `\nhttps://${NAME}:${port} {\n\ttls ${folder}/certificate.pem ${folder}/key.pem\n`],
    ["reverse_proxy 127.0.0.1:8787", `reverse_proxy ${upstream}`],
  ])
  writeFileSync(join(home, "Caddyfile"), file)
  const program = start("caddy", ["run", "--config", join(home, "Caddyfile"), "--adapter", "caddyfile"],
    { HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home })
  await listening(port, program, "caddy")
  return () => program.said
}

async function tryThrough(name, port, tokens, log) {
  const ca = readFileSync(join(folder, "certificate.pem"))
  const lookup = (_, options, found) =>
    (options.all ? found(null, [{ address: "127.0.0.1", family: 4 }]) : found(null, "127.0.0.1", 4))
  const host = `${NAME}:${port}`
  const socketTo = (path) => new WebSocket(`wss://${host}${path}`, { ca, lookup })

  const user = await within(`${name}: the greeting`, (done, failed) => {
    const socket = socketTo(`/v1/updates?token=${tokens.user}`).on("error", failed)
    socket.on("message", (data) => {
      if (JSON.parse(data).event === "connected") done(socket)
    })
  })
  await within(`${name}: a pong`, (done) => {
    user.on("message", (data) => JSON.parse(data).event === "pong" && done())
    user.send('{"event":"ping"}')
  })

  const agent = new Agent({ ca, lookup, keepAlive: true })
  const page = await within(`${name}: the admin page`, (done, failed) => {
    request({ host: NAME, port, path: "/admin/", agent }, (response) => {
      response.resume()
      done(response.headers["content-security-policy"] ?? failed(new Error(`status ${response.statusCode}`)))
    }).on("error", failed).end()
  })
  if (!page.includes("script-src 'self'")) throw new Error(`${name}: the policy is ${page}`)
  // Connections of the proxy before may still be ending.
  await within(`${name}: one connection in the live feed`, (done, failed) => {
    const socket = socketTo("/admin/v1/live").on("error", failed)
    socket.on("open", () => socket.send(JSON.stringify({ event: "auth", data: { token: tokens.admin } })))
    socket.on("message", (data) => {
      const { event, data: { point } } = JSON.parse(data)
      if (event !== "update" || point.connections !== 1) return
      socket.close()
      done()
    })
  })
  user.close()

  // Polling alone, so that no upgrade helps.
  const poller = io(`https://${host}`, {
    path: "/v1/updates", transports: ["polling"], agent, auth: { token: tokens.user, clientType: "user-scoped" },
  })
  await within(`${name}: long polling`, (done, failed) => {
    poller.on("connect", done).on("connect_error", (error) => failed(new Error(`${name}: ${error.message} ${error.context ?? ""}`)))
  })
  await within(`${name}: an answer by long polling`, (done) => poller.emitWithAck("ping").then(done))
  poller.disconnect()
  agent.destroy()

  // Proxies write a request down when it ends.
  const end = Date.now() + PATIENCE
  while (!/\/v1\/updates/.test(log()) || !/\/admin\/v1\/live/.test(log())) {
    if (Date.now() > end) throw new Error(`${name} has logged nothing:\n${log()}`)
    await new Promise((done) => setTimeout(done, 50))
  }
  for (const token of Object.values(tokens)) {
    if (log().includes(token)) throw new Error(`${name} logs tokens`)
  }
  console.log(`${name}: WebSocket, admin page and its feed, and long polling work; no token is in its log`)
}

async function main() {
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-days", "1", "-subj", `/CN=${NAME}`, "-addext", `subjectAltName=DNS:${NAME}`,
    "-keyout", join(folder, "key.pem"), "-out", join(folder, "certificate.pem")], { stdio: "ignore" })
  const data = join(folder, "data")
  const server = start(BINARY, ["--listen", "127.0.0.1:0", "--data-dir", data, "--set", "shutdown_timeout=100ms",
    "--set", "http.trusted_proxies=127.0.0.1"])
  const upstream = await within("the server's address", (done, failed) => {
    createInterface({ input: server.child.stdout }).on("line", (line) => {
      const match = /^listening on http:\/\/(\S+)/.exec(line)
      if (match) done(match[1])
    })
    server.ended.then(() => failed(new Error(server.said)))
  })
  const token = (...flags) =>
    execFileSync(BINARY, ["token", "--data-dir", data, ...flags], { env: environment, encoding: "utf8" }).trim()
  const tokens = { user: token("--user", "alice"), admin: token("--user", "ops", "--admin") }
  for (const [name, begin] of Object.entries({ nginx, caddy })) {
    const port = await freePort()
    const log = await begin(upstream, port)
    await tryThrough(name, port, tokens, log)
  }
}

try {
  await main()
} finally {
  for (const stop of started.reverse()) await stop()
  rmSync(folder, { recursive: true, force: true })
}
