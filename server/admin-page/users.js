// All users with a connection.

import { choice, element } from "./elements.js"
import { feed } from "./feed.js"
import { ago, bytes, count } from "./format.js"
import { listing } from "./listing.js"

/** A link to a user's own section. */
export const userLink = (user) => element("a", { href: `#/user/${encodeURIComponent(user)}`, class: "mono" }, user)

/** A choice among the tiers, as far as they are known yet. */
export function tierChoice(first) {
  const tiers = feed.update?.tiers ?? []
  return choice([["", first], ...tiers.map(({ name }) => [name, name])])
}

export function users() {
  const list = listing({
    caption: "Users with a connection",
    path: "users",
    rows: (answer) => answer.users,
    sort: "-connections",
    empty: (isFiltered) => (isFiltered ? "No user matches." : "No user has a connection now."),
    filters: [
      { label: "Search user", name: "search", control: element("input", { type: "search", autocomplete: "off" }) },
      { label: "Tier", name: "tier", control: tierChoice("all tiers") },
    ],
    columns: [
      { title: "User", sort: "name", cell: (user) => userLink(user.user) },
      { title: "Tier", cell: (user) => user.tier },
      { title: "Connections", sort: "connections", number: true, cell: (user) => count(user.connections) },
      { title: "Shards", number: true, cell: (user) => count(user.shards) },
      { title: "State", cell: (user) => (user.awake ? `${user.awake} awake` : "asleep") },
      { title: "Waiting", sort: "queuedBytes", number: true, cell: (user) => bytes(user.queuedBytes) },
      { title: "Refused", sort: "rejected", number: true, cell: (user) => count(user.rejected) },
      { title: "Last activity", sort: "lastActivity", cell: (user) => ago(user.lastActivityAt) },
    ],
  })
  return { title: "Users", element: element("div", {}, element("h1", {}, "Users"), list.element) }
}
