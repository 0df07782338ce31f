// Invitations: each makes one account.

import { api } from "./api.js"
import { confirm } from "./confirm.js"
import { choice, element, field, notify, swap, table } from "./elements.js"
import { time } from "./format.js"
import { secretPlace } from "./secret.js"
import { userLink } from "./users.js"

const DAY = 86_400
const SHOWN = 50

function state(invite) {
  if (invite.usedAt) return element("span", { class: "badge good" }, "used")
  if (invite.revokedAt) return element("span", { class: "badge" }, "revoked")
  if (invite.expiresAt <= Date.now()) return element("span", { class: "badge" }, "expired")
  return element("span", { class: "badge warn" }, "open")
}

const isOpen = (invite) => !invite.usedAt && !invite.revokedAt && invite.expiresAt > Date.now()

export function invites() {
  const note = element("input", { autocomplete: "off", maxlength: "200", placeholder: "for whom it is" })
  const lifetime = choice([[DAY, "a day"], [7 * DAY, "a week"], [30 * DAY, "30 days"], [365 * DAY, "a year"]])
  lifetime.value = String(7 * DAY)
  const code = secretPlace()
  const list = element("div")

  async function refresh() {
    let all
    try {
      all = (await api("GET", "invites")).invites
    } catch (refusal) {
      swap(list, element("p", { class: "error" }, refusal.message))
      return
    }
    swap(list,
      all.length
        ? table(all.length > SHOWN ? `The newest ${SHOWN} of ${all.length}` : "Newest first", [
            { title: "For", cell: (invite) => invite.note ?? "–" },
            { title: "State", cell: state },
            { title: "Made", cell: (invite) => time(invite.createdAt) },
            { title: "Good until", cell: (invite) => time(invite.expiresAt) },
            { title: "Made the account", cell: (invite) => (invite.usedBy ? userLink(invite.usedBy) : "–") },
            { title: "Actions", cell: (invite) => (isOpen(invite) ? revokeButton(invite) : "") },
          ], all.slice(0, SHOWN))
        : element("p", { class: "hint" }, "There are no invitations."))
  }

  const revokeButton = (invite) => element("button", {
    type: "button",
    "aria-label": `Revoke the invitation ${invite.note ?? invite.id}`,
    onclick: async () => {
      const isSure = await confirm({
        title: "Revoke this invitation?",
        text: "Its code makes no account any more.",
        facts: [["For", invite.note ?? "–"], ["Made", time(invite.createdAt)]],
        action: "Revoke",
      })
      if (!isSure) return
      try {
        await api("DELETE", `invites/${encodeURIComponent(invite.id)}`)
        notify("The invitation is revoked.")
      } catch (refusal) {
        notify(refusal.message)
      }
      refresh()
    },
  }, "Revoke")

  async function create(event) {
    event.preventDefault()
    const isSure = await confirm({
      title: "Make an invitation?",
      text: "Who has its code can make one account.",
      facts: [["For", note.value.trim() || "–"], ["Good for", lifetime.options[lifetime.selectedIndex].text]],
      action: "Make it",
    })
    if (!isSure) return
    try {
      const made = await api("POST", "invites", { note: note.value.trim() || null, expiresIn: Number(lifetime.value) })
      note.value = ""
      code.show("The code of the invitation", made.code,
        `Pass it on now: it is not shown again. It is good until ${time(made.invite.expiresAt)}.`)
    } catch (refusal) {
      notify(refusal.message)
    }
    refresh()
  }

  refresh()
  return element("section", { class: "panel" },
    element("h2", {}, "Invitations"),
    element("form", { class: "fields", onsubmit: create },
      field("Note", note), field("Good for", lifetime),
      element("div", {}, element("button", { type: "submit" }, "Make an invitation …"))),
    code.element, list)
}
