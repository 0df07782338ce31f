// Tiers: what they allow, what they promise, and whether the promises are kept.

import { element, liveTable } from "./elements.js"
import { count, ms, percent } from "./format.js"

/** Kept, broken, or nothing to judge: told by a word, not by colour alone. */
function verdict(kept) {
  if (kept === null) return element("span", { class: "badge" }, "no traffic")
  return kept
    ? element("span", { class: "badge good" }, "✓ kept")
    : element("span", { class: "badge bad" }, "✗ broken")
}

/** The promises of all tiers and what became of them: an element and `draw(tiers)`. */
export function promiseTable() {
  return liveTable("Promises in the last 15 minutes", [
    { title: "Tier", text: (tier) => tier.name },
    { title: "p95 promised", number: true, text: (tier) => ms(tier.promisedLatencyMs) },
    { title: "p95 measured", number: true, text: (tier) => ms(tier.p95Ms) },
    { title: "Latency", text: (tier) => String(tier.latencyKept), cell: (tier) => verdict(tier.latencyKept) },
    { title: "Availability promised", number: true, text: (tier) => percent(tier.promisedAvailability) },
    { title: "Availability measured", number: true, text: (tier) => percent(tier.availability) },
    { title: "Availability", text: (tier) => String(tier.availabilityKept), cell: (tier) => verdict(tier.availabilityKept) },
    { title: "At the cap", number: true, text: (tier) => count(tier.atTheCap) },
  ])
}

export function tiers() {
  const promises = promiseTable()
  const use = liveTable("Users and connections of each tier", [
    { title: "Tier", text: (tier) => tier.name },
    { title: "Connections per user", number: true, text: (tier) => `at most ${count(tier.limit)}` },
    { title: "Users", number: true, text: (tier) => count(tier.users) },
    { title: "Connections", number: true, text: (tier) => count(tier.connections) },
    { title: "Deliveries, 15 min", number: true, text: (tier) => count(tier.deliveries) },
    { title: "Late", number: true, text: (tier) => count(tier.late) },
  ])
  const made = element("div", {},
    element("h1", {}, "Tiers"),
    element("div", { class: "panel" }, promises.element, element("h2", {}, "Use"), use.element),
    element("p", { class: "hint" },
      "A latency promise is kept while at most 5 % of the deliveries take longer than promised. " +
      "Availability is the share of connections that the server did not turn away for a reason of its own; " +
      "refusals at the cap (counted since the start) do not count, as they are what the tier says. Tiers are set in the configuration; a user’s own tier on the user’s page."))

  function update(feed) {
    const now = feed.update
    if (!now) return
    promises.draw(now.tiers)
    use.draw(now.tiers)
  }

  return { title: "Tiers", element: made, update }
}
