#!/usr/bin/env node
// Checks what is under deploy/prometheus and deploy/grafana against a real server: Prometheus
// scrapes it with the shipped configuration, traffic of every kind passes, and every query of the
// dashboard and every recording rule must then have a number.
//
// Needs a built dormouse (DORMOUSE_BINARY, or target/debug/dormouse) and the commands prometheus
// and promtool. Uses ports of the loopback that the system chooses; ends what it starts.

import { execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { createInterface } from "node:readline"

const DEPLOY = import.meta.dirname
const BINARY = process.env.DORMOUSE_BINARY ?? resolve(DEPLOY, "../target/debug/dormouse")
/** Longest wait for anything, milliseconds. */
const PATIENCE = 180_000

const folder = mkdtempSync(join(tmpdir(), "dormouse-monitoring-"))
const started = []
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("DORMOUSE_")))
// Production: metrics need the token that Prometheus is given.
environment.DORMOUSE_AUTH__SECRET = randomBytes(32).toString("hex")

/** Starts a program; resolves to what `pattern` captures in a line that it prints. */
function start(command, flags, output, pattern) {
  const child = spawn(command, flags, { env: environment, stdio: ["ignore", "pipe", "pipe"] })
  const ended = new Promise((done) => child.on("exit", done))
  started.push(async () => {
    child.kill("SIGTERM")
    await ended
  })
  let said = ""
  child[output === "stdout" ? "stderr" : "stdout"].on("data", (data) => { said += data })
  return new Promise((found, failed) => {
    createInterface({ input: child[output] }).on("line", (line) => {
      said += `${line}\n`
      const match = pattern.exec(line)
      if (match) found(match[1])
    })
    child.on("error", failed)
    ended.then((status) => failed(new Error(`${command} ended with ${status}:\n${said}`)))
  })
}

/** The key of a tenant with events. */
const key = randomBytes(16).toString("hex")
environment.DORMOUSE_EVENTS__API_KEYS = key

const token = (...flags) =>
  execFileSync(BINARY, ["token", "--ttl", "1h", ...flags], { env: environment, encoding: "utf8" }).trim()

/** Opens a WebSocket; resolves to it, or to the status of its refusal. */
function connect(address, path) {
  return new Promise((opened, failed) => {
    const asked = request(`${address}${path}`, { headers: {
      Connection: "Upgrade", Upgrade: "websocket",
      "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    } })
    asked.on("upgrade", (_, socket) => {
      socket.resume()
      socket.on("error", () => {})
      opened({
        send(text) {
          // A masked text frame of less than 126 bytes, with a mask of zeros (RFC 6455, 5.2).
          socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]))
        },
        end: () => socket.destroy(),
      })
    })
    asked.on("response", (response) => {
      response.resume()
      opened(response.statusCode)
    })
    asked.on("error", failed)
    asked.end()
  })
}

const post = (address, path, bearer, body) => fetch(`${address}${path}`, {
  method: "POST",
  headers: { Authorization: `Bearer ${bearer}` },
  body: JSON.stringify(body),
})

/** A bit of everything that is measured. */
async function traffic(address, admin, users) {
  const sockets = []
  for (const [tier, bearer] of Object.entries(users)) {
    for (let count = 0; count < (tier === "free" ? 21 : 2); count += 1) {
      const socket = await connect(address, `/v1/updates?token=${bearer}`)
      if (typeof socket === "object") sockets.push(socket)
    }
    await fetch(`${address}/v1/websocket/stats`, { headers: { Authorization: `Bearer ${bearer}` } })
  }
  await connect(address, "/v1/updates?token=nonsense")
  for (const socket of sockets) {
    socket.send('{"event":"ping"}')
    socket.send('{"event":"note","data":{}}')
  }
  await post(address, "/admin/v1/broadcast", admin, { message: { type: "x" }, to: { everyone: true } })
  sockets.push(await events(address))
  return sockets
}

/** A call that a subscriber hears of, and a report; returns the subscriber. */
async function events(address) {
  const subscriber = await connect(address, `/ws/events?apiKey=${key}`)
  subscriber.send('{"type":"subscribe","channels":["call.*"]}')
  for (const eventType of ["call.started", "call.completed"]) {
    await fetch(`${address}/api/v1/demo/events/call`, {
      method: "POST",
      headers: { "X-API-Key": key },
      body: JSON.stringify({ callId: `c-${eventType}`, eventType }),
    })
  }
  await fetch(`${address}/api/v1/reporting/metrics`, { headers: { "X-API-Key": key } })
  return subscriber
}

/** The first of the queries that have no number yet. */
async function withoutNumber(prometheus, queries) {
  const missing = []
  for (const [name, query] of queries) {
    const url = `${prometheus}/api/v1/query?${new URLSearchParams({ query })}`
    const { status, error, data } = await (await fetch(url)).json()
    if (status !== "success") throw new Error(`${name}: ${error}\n${query}`)
    const hasNumber = data.result.some(({ value }) => Number.isFinite(Number(value[1])))
    if (!hasNumber) missing.push(`${name}: ${query}`)
  }
  return missing
}

async function main() {
  execFileSync("promtool", ["check", "config", "--syntax-only", join(DEPLOY, "prometheus/prometheus.yml")])
  const server = await start(BINARY, [
    "--listen", "127.0.0.1:0", "--data-dir", join(folder, "data"),
    "--set", "shard.hibernate_after=100ms", "--set", "shutdown_timeout=100ms",
  ], "stdout", /^listening on (http:\S+)/)
  const admin = token("--user", "prometheus", "--admin")
  const users = Object.fromEntries(["free", "pro", "enterprise"].map((tier) =>
    [tier, token("--user", `${tier}-user`, "--tier", tier)]))

  // The shipped configuration, but for its paths, its target and its pace.
  writeFileSync(join(folder, "metrics-token"), admin)
  mkdirSync(join(folder, "rules"))
  for (const file of readdirSync(join(DEPLOY, "prometheus/rules"))) {
    const text = readFileSync(join(DEPLOY, "prometheus/rules", file), "utf8")
    writeFileSync(join(folder, "rules", file), text.replaceAll(/^ {4}interval: \S+$/gm, "    interval: 1s"))
  }
  const configuration = readFileSync(join(DEPLOY, "prometheus/prometheus.yml"), "utf8")
    .replace("/run/secrets/metrics-token", join(folder, "metrics-token"))
    .replace("dormouse:8787", new URL(server).host)
    .replace("scrape_timeout: 10s", "scrape_timeout: 1s")
    .replaceAll(/_interval: 15s/g, "_interval: 1s")
  writeFileSync(join(folder, "prometheus.yml"), configuration)
  const prometheus = `http://${await start("prometheus", [
    `--config.file=${join(folder, "prometheus.yml")}`, `--storage.tsdb.path=${join(folder, "tsdb")}`,
    "--web.listen-address=127.0.0.1:0",
  ], "stderr", /msg="Listening on" address=(\S+)/)}`

  const dashboard = JSON.parse(readFileSync(join(DEPLOY, "grafana/dashboards/dormouse.json"), "utf8"))
  const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [`panel ${title}`, expr.replaceAll("$__rate_interval", "1m")]))
  for (const file of readdirSync(join(DEPLOY, "prometheus/rules"))) {
    // Recordings of what this server does not export yet have nothing to record.
    if (!["service.rules.yml", "promises.rules.yml", "events.rules.yml"].includes(file)) continue
    const text = readFileSync(join(DEPLOY, "prometheus/rules", file), "utf8")
    for (const [, name] of text.matchAll(/- record: (\S+)/g)) queries.push([`recording ${file}`, name])
  }

  const end = Date.now() + PATIENCE
  let missing
  do {
    // Again and again: rates need series that grow between two scrapes.
    const sockets = await traffic(server, admin, users)
    await new Promise((done) => setTimeout(done, 1000))
    missing = await withoutNumber(prometheus, queries)
    for (const socket of sockets) socket.end()
  } while (missing.length && Date.now() < end)
  if (missing.length) throw new Error(`without data:\n  ${missing.join("\n  ")}`)

  const { data } = await (await fetch(`${prometheus}/api/v1/rules`)).json()
  const faulty = data.groups.flatMap(({ rules }) => rules).filter(({ lastError }) => lastError)
  if (faulty.length) throw new Error(`rules fail: ${JSON.stringify(faulty, null, 2)}`)
  const count = data.groups.flatMap(({ rules }) => rules).length
  console.log(`${queries.length} queries of the dashboard and recordings have data; ${count} rules evaluate`)
}

try {
  await main()
} finally {
  for (const stop of started.reverse()) await stop()
  rmSync(folder, { recursive: true, force: true })
}
