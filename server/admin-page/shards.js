// All shards.

import { choice, element } from "./elements.js"
import { feed } from "./feed.js"
import { ago, bytes, count } from "./format.js"
import { listing } from "./listing.js"
import { tierChoice, userLink } from "./users.js"

export function shards() {
  const workers = feed.update?.workers ?? []
  const list = listing({
    caption: "Shards",
    path: "shards",
    rows: (answer) => answer.shards,
    sort: "-connections",
    empty: (isFiltered) => (isFiltered ? "No shard matches." : "No user has a connection now, so there is no shard."),
    note: "Looking at shards here wakes none of them.",
    filters: [
      { label: "Search user", name: "user", control: element("input", { type: "search", autocomplete: "off" }) },
      { label: "State", name: "state", control: choice([["", "awake and asleep"], ["awake", "awake"], ["asleep", "asleep"]]) },
      { label: "Tier", name: "tier", control: tierChoice("all tiers") },
      { label: "Worker", name: "worker", control: choice([["", "all workers"], ...workers.map(({ id }) => [String(id), String(id)])]) },
    ],
    columns: [
      { title: "Shard", sort: "name", cell: (shard) => element("span", { class: "mono" }, shard.shard) },
      { title: "User", cell: (shard) => userLink(shard.user) },
      { title: "Tier", cell: (shard) => shard.tier },
      { title: "State", cell: (shard) => shard.state },
      { title: "Worker", number: true, cell: (shard) => String(shard.worker) },
      { title: "Connections", sort: "connections", number: true, cell: (shard) => count(shard.connections) },
      { title: "Waiting", sort: "queuedBytes", number: true, cell: (shard) => bytes(shard.queuedBytes) },
      { title: "Refused", sort: "rejected", number: true, cell: (shard) => count(shard.rejected) },
      { title: "Sleeps / wakes", number: true, cell: (shard) => `${count(shard.sleeps)} / ${count(shard.wakes)}` },
      { title: "Last activity", sort: "lastActivity", cell: (shard) => ago(shard.lastActivityAt) },
    ],
  })
  return { title: "Shards", element: element("div", {}, element("h1", {}, "Shards"), list.element) }
}
