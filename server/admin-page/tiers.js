// Tiers: what they allow, what they promise, and whether the promises are kept.

import { element, table } from "./elements.js"
import { count, ms, percent } from "./format.js"

/** Kept, broken, or nothing to judge: told by a word, not by colour alone. */
function verdict(kept) {
  if (kept === null) return element("span", { class: "badge" }, "no traffic")
  return kept
    ? element("span", { class: "badge good" }, "✓ kept")
    : element("span", { class: "badge bad" }, "✗ broken")
}

/** The promises of all tiers and what became of them. */
export function promiseTable(tiers) {
  return table("Promises in the last 15 minutes", [
    { title: "Tier", cell: (tier) => tier.name },
    { title: "Delivery p95 promised", number: true, cell: (tier) => ms(tier.promisedLatencyMs) },
    { title: "Measured", number: true, cell: (tier) => ms(tier.p95Ms) },
    { title: "", cell: (tier) => verdict(tier.latencyKept) },
    { title: "Availability promised", number: true, cell: (tier) => percent(tier.promisedAvailability) },
    { title: "Measured", number: true, cell: (tier) => percent(tier.availability) },
    { title: "", cell: (tier) => verdict(tier.availabilityKept) },
    { title: "Refused at the cap", number: true, cell: (tier) => count(tier.atTheCap) },
  ], tiers)
}

export function tiers() {
  const body = element("div", { class: "panel" }, element("p", { class: "hint" }, "Waiting for the first numbers"))
  const made = element("div", {},
    element("h1", {}, "Tiers"),
    body,
    element("p", { class: "hint" },
      "A latency promise is kept while at most 5 % of the deliveries take longer than promised. " +
      "Availability is the share of connections that the server did not turn away for a reason of its own; " +
      "refusals at the cap do not count, as they are what the tier says. Tiers are set in the configuration; a user’s own tier on the user’s page."))

  function update(feed) {
    const now = feed.update
    if (!now) return
    body.replaceChildren(
      promiseTable(now.tiers),
      element("h2", {}, "Use"),
      table("Users and connections of each tier", [
        { title: "Tier", cell: (tier) => tier.name },
        { title: "Connections per user", number: true, cell: (tier) => `at most ${count(tier.limit)}` },
        { title: "Users", number: true, cell: (tier) => count(tier.users) },
        { title: "Connections", number: true, cell: (tier) => count(tier.connections) },
        { title: "Deliveries, 15 min", number: true, cell: (tier) => count(tier.deliveries) },
        { title: "Late", number: true, cell: (tier) => count(tier.late) },
      ], now.tiers))
  }

  return { title: "Tiers", element: made, update }
}
