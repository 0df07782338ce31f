// Who may use the server: accounts with their state, and invitations.

import { api } from "./api.js"
import { confirm } from "./confirm.js"
import { choice, element, field, notify } from "./elements.js"
import { feed } from "./feed.js"
import { connections, time } from "./format.js"
import { invites } from "./invites.js"
import { listing } from "./listing.js"
import { userLink } from "./users.js"

const SIGNUP = {
  open: "Sign-up is open: whoever reaches this server can make an account.",
  approval: "Sign-up needs an approval here, or an invitation.",
  invite: "Sign-up needs an invitation.",
  closed: "Sign-up is closed: nobody gets a new account.",
}
const STATES = {
  pending: ["waits for approval", "warn"],
  active: ["active", "good"],
  blocked: ["blocked", "bad"],
  deleting: ["being deleted", "bad"],
}

/** The key by its ends; the whole is its title. */
const shortKey = (key) => element("span", { class: "mono", title: key }, `${key.slice(0, 8)}…${key.slice(-8)}`)

export function accounts() {
  const list = listing({
    caption: "Accounts, in the order of their making",
    path: "accounts",
    rows: (answer) => answer.accounts,
    empty: (isFiltered) => (isFiltered ? "No account matches." : "Nobody has an account yet."),
    note: "Users whose tokens come from another issuer, or from the command line, have no account until one is blocked.",
    filters: [
      { label: "Search id, key or username", name: "search", control: element("input", { type: "search", autocomplete: "off", spellcheck: "false" }) },
      { label: "State", name: "status", control: choice([["", "all states"], ...Object.entries(STATES).map(([state, [text]]) => [state, text])]) },
    ],
    columns: [
      { title: "Account", cell: (account) => userLink(account.id) },
      { title: "Username", cell: (account) => account.username ?? "–" },
      { title: "State", cell: ({ status }) => element("span", { class: `badge ${STATES[status][1]}` }, STATES[status][0]) },
      { title: "Key", cell: (account) => (account.publicKey ? shortKey(account.publicKey) : "–") },
      { title: "Made", cell: (account) => time(account.createdAt) },
      { title: "Signed in", cell: (account) => (account.signedInAt ? time(account.signedInAt) : "–") },
      { title: "Actions", cell: buttons },
    ],
  })

  /** Asks, does it, tells what came of it, and looks again. */
  async function act(question, method, path, told) {
    if (!await confirm(question)) return
    try {
      notify(told(await api(method, path)))
    } catch (refusal) {
      notify(refusal.message)
    }
    list.refresh()
  }

  function buttons(account) {
    const path = `accounts/${encodeURIComponent(account.id)}`
    const facts = [["Account", account.id], ["Username", account.username ?? "–"], ["State", STATES[account.status][0]]]
    const button = (text, properties) =>
      element("button", { type: "button", "aria-label": `${text} account ${account.id}`, ...properties }, text)
    const approve = button("Approve", { onclick: () => act({
      title: "Let this account in?",
      text: "Its key can sign in, and its tokens are taken again.",
      facts,
      action: "Approve",
    }, "POST", `${path}/approve`, () => "The account is let in.") })
    const block = button("Block", { onclick: () => act({
      title: "Block this account?",
      text: "Its key and all its tokens are refused, and its connections are closed. What it has stored stays.",
      facts,
      action: "Block",
    }, "POST", `${path}/block`, ({ closed }) => `The account is blocked; closing ${connections(closed)}.`) })
    const remove = button("Delete", { class: "danger quiet", onclick: () => act({
      title: "Delete this account?",
      text: "All that it has stored is deleted, and its tokens are refused. There is no way back but a backup.",
      facts,
      action: "Delete",
      word: "delete",
    }, "DELETE", path, () => "The account is deleted.") })
    return element("div", { class: "row tight" },
      account.status === "pending" || account.status === "blocked" ? approve : null,
      account.status === "pending" || account.status === "active" ? block : null,
      remove)
  }

  const id = element("input", { autocomplete: "off", spellcheck: "false", required: true })
  const blockAny = element("section", { class: "panel" },
    element("h2", {}, "Block a user without an account"),
    element("form", { class: "fields", onsubmit: async (event) => {
      event.preventDefault()
      const name = id.value.trim()
      await act({
        title: "Block this user?",
        text: "All tokens of this user are refused, whoever issued them, and the user’s connections are closed.",
        facts: [["User", name]],
        action: "Block",
      }, "POST", `accounts/${encodeURIComponent(name)}/block`, ({ closed }) => `The user is blocked; closing ${connections(closed)}.`)
      id.value = ""
    } },
    field("User id", id),
    element("div", {}, element("button", { type: "submit" }, "Block …"))))

  return {
    title: "Accounts",
    element: element("div", {},
      element("h1", {}, "Accounts"),
      feed.about ? element("p", { class: "hint" }, SIGNUP[feed.about.signup]) : null,
      list.element, invites(), blockAny),
  }
}
