// The server at a glance.

import { chart } from "./chart.js"
import { element, liveTable } from "./elements.js"
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
  const eventCharts = [
    chart("Events per second", [{ name: "published", value: (point) => point.eventsPerSecond }], rateOrNone),
    chart("Event delivery", [{ name: "p95", value: (point) => point.eventP95Ms }], ms),
    chart("Subscribers", [{ name: "open", value: (point) => point.subscribers }], count),
  ]
  const eventFacts = element("p", { class: "hint" })
  // Only where the server takes call events is there something to see.
  const events = element("section", { hidden: true },
    element("h2", {}, "Call events"), eventFacts,
    element("div", { class: "charts" }, eventCharts.map(({ element: drawn }) => drawn)))
  const promises = promiseTable()
  const workers = liveTable("Threads, each with shards and sockets of its own", [
    { title: "Worker", text: (worker) => String(worker.id) },
    { title: "Load", text: (worker) => String(worker.load), cell: load },
    { title: "Connections", number: true, text: (worker) => count(worker.connections) },
    { title: "Shards", number: true, text: (worker) => count(worker.shards) },
    { title: "Awake", number: true, text: (worker) => count(worker.awake) },
    { title: "Waiting", number: true, text: (worker) => bytes(worker.queuedBytes) },
  ])
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
    element("section", { class: "panel" }, element("h2", {}, "Promises"), promises.element),
    element("section", { class: "panel" }, element("h2", {}, "Workers"), workers.element),
    events)

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
    events.hidden = !now.events.published && !point.subscribers
    if (!events.hidden) {
      for (const { draw } of eventCharts) draw(feed.points)
      const { published, delivered, dropped, activeCalls } = now.events
      eventFacts.textContent = `Since the start: ${count(published)} published, ${count(delivered)} handed to subscribers, ` +
        `${count(dropped)} not taken by subscribers. Calls under way: ${count(activeCalls)}.`
    }
    promises.draw(now.tiers)
    workers.draw(now.workers)
  }

  return { title: "Overview", element: made, update }
}

function load(worker) {
  const share = Math.round(worker.load * 100)
  return element("span", {},
    element("meter", { min: 0, max: 100, low: 60, high: 85, optimum: 0, value: share, "aria-label": `Load of worker ${worker.id}` }),
    ` ${share} % of a core`)
}
