// The server at a glance.

import { chart } from "./chart.js"
import { element, table } from "./elements.js"
import { bytes, count, duration, ms, rate } from "./format.js"
import { promiseTable } from "./tiers.js"

const rateOrNone = (value) => (value === null ? "–" : rate(value))

export function overview() {
  const tiles = {}
  const tile = (name, title) => {
    tiles[name] = element("dd", {}, "–")
    return element("div", { class: "tile" }, element("dt", {}, title), tiles[name])
  }
  const charts = [
    chart("Connections", [{ name: "open", value: (point) => point.connections }], count),
    chart("Messages per second", [
      { name: "in", value: (point) => point.receivedPerSecond },
      { name: "out", value: (point) => point.sentPerSecond },
    ], rateOrNone),
    chart("Delivery", [
      { name: "p50", value: (point) => point.p50Ms },
      { name: "p95", value: (point) => point.p95Ms },
      { name: "p99", value: (point) => point.p99Ms },
    ], ms),
    chart("Shards", [
      { name: "awake", value: (point) => point.awake },
      { name: "asleep", value: (point) => point.asleep },
    ], count),
    chart("Refused per second", [{ name: "refused", value: (point) => point.refusedPerSecond }], rateOrNone),
    chart("Memory", [{ name: "resident", value: (point) => point.memoryBytes }], bytes),
  ]
  const workers = element("div", { class: "panel" })
  const promises = element("div", { class: "panel" })
  const made = element("div", {},
    element("h1", {}, "Overview"),
    element("dl", { class: "tiles" },
      tile("connections", "Connections"),
      tile("users", "Users"),
      tile("shards", "Shards awake"),
      tile("received", "Messages in / s"),
      tile("sent", "Messages out / s"),
      tile("delivery", "Delivery p95"),
      tile("refused", "Refused"),
      tile("memory", "Memory"),
      tile("uptime", "Running for")),
    element("div", { class: "charts" }, charts.map(({ element: drawn }) => drawn)),
    promises, workers)

  function put(name, text, more) {
    tiles[name].replaceChildren(element("span", {}, text), more ? element("small", {}, more) : "")
  }

  function update(feed) {
    for (const { draw } of charts) draw(feed.points)
    const now = feed.update
    if (!now) return
    const { point } = now
    put("connections", count(point.connections), now.pending ? `${count(now.pending)} not authenticated` : "all authenticated")
    put("users", count(point.users))
    put("shards", count(point.awake), `${count(point.asleep)} asleep`)
    put("received", rate(point.receivedPerSecond))
    put("sent", rate(point.sentPerSecond), now.queuedBytes ? `${bytes(now.queuedBytes)} waiting` : "nothing waiting")
    put("delivery", ms(point.p95Ms), `p50 ${ms(point.p50Ms)} · p99 ${ms(point.p99Ms)}`)
    put("refused", count(now.refused), `${count(now.tiers.reduce((sum, tier) => sum + tier.atTheCap, 0))} at a tier’s cap`)
    put("memory", bytes(point.memoryBytes))
    put("uptime", duration(now.uptimeMs))
    promises.replaceChildren(element("h2", {}, "Promises"), promiseTable(now.tiers))
    workers.replaceChildren(element("h2", {}, "Workers"), table("Threads, each with shards and sockets of its own", [
      { title: "Worker", cell: (worker) => String(worker.id) },
      { title: "Load", cell: (worker) => load(worker) },
      { title: "Connections", number: true, cell: (worker) => count(worker.connections) },
      { title: "Shards", number: true, cell: (worker) => count(worker.shards) },
      { title: "Awake", number: true, cell: (worker) => count(worker.awake) },
      { title: "Waiting", number: true, cell: (worker) => bytes(worker.queuedBytes) },
    ], now.workers))
  }

  return { title: "Overview", element: made, update }
}

function load(worker) {
  const share = Math.round(worker.load * 100)
  return element("span", {},
    element("meter", { min: 0, max: 100, low: 60, high: 85, optimum: 0, value: share, "aria-label": `Load of worker ${worker.id}` }),
    ` ${share} % of a core`)
}
