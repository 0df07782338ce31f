// The admin page in Chromium, against the built server.

import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import {
  connect, lowContrasts, namelessControls, openPage, screenshot, signIn, signUp, startBrowser, startServer, violations,
} from "./support.mjs"

const SECTIONS = ["Overview", "Tiers", "Users", "Shards", "Accounts", "API keys", "Actions", "Audit log", "Try it"]

let server
let browser
let admin

before(async () => {
  server = await startServer("--set", "auth.signup=approval")
  browser = await startBrowser()
  admin = server.token("--user", "ops", "--admin")
})

after(async () => {
  await browser?.close()
  await server?.stop()
})

/** A signed-in page whose end is checked: nothing went wrong, and no secret was in a URL. */
function inPage(name, work, options) {
  test(name, { timeout: 300_000 }, async () => {
    const opened = await openPage(browser, server, options)
    try {
      await signIn(opened.page, server, admin)
      // Connections of the test before are gone.
      await tile(opened.page, "Connections").getByText("0", { exact: true }).waitFor()
      await work(opened)
      assert.deepEqual(opened.faults, [])
      const told = opened.urls.filter((url) => url.includes(admin) || /token=|ticket=/.test(url))
      assert.deepEqual(told, [], "a secret is in a URL")
    } catch (error) {
      await screenshot(opened.page, `failed-${name}`)
      throw error
    } finally {
      // What a test left open would count in the next.
      await Promise.all(browser.contexts().map((context) => context.close()))
    }
  })
}

const section = async (page, name) => {
  await page.getByRole("link", { name, exact: true }).click()
  await page.getByRole("heading", { name, exact: true, level: 1 }).waitFor()
}

const tile = (page, name) => page.locator(".tile", { has: page.getByText(name, { exact: true }) }).locator("dd")

const confirmWith = (page, name) => page.getByRole("dialog").getByRole("button", { name }).click()

const audited = async (page, ...texts) => {
  await section(page, "Audit log")
  const row = texts.reduce((rows, text) => rows.filter({ hasText: text }), page.locator("tbody tr"))
  await row.first().waitFor()
  return row.first()
}

test("only an admin's token signs in, and only this tab knows it", { timeout: 300_000 }, async () => {
  const { page, context, urls } = await openPage(browser, server)
  const answer = await page.goto(`${server.address}/admin`)
  assert.equal(page.url(), `${server.address}/admin/`)
  const policy = answer.headers()["content-security-policy"]
  assert.match(policy, /script-src 'self'/)
  assert.doesNotMatch(policy, /unsafe/)
  for (const wrong of ["nonsense", server.token("--user", "alice")]) {
    await page.getByLabel("Admin token").fill(wrong)
    await page.getByRole("button", { name: "Sign in" }).click()
    await page.locator("#sign-in-error").filter({ hasText: /token/ }).waitFor()
  }
  await screenshot(page, "sign-in-refused")
  // By keyboard alone.
  await page.getByLabel("Admin token").fill(admin)
  await page.keyboard.press("Enter")
  await page.getByRole("heading", { name: "Overview" }).waitFor()
  await page.getByText("live", { exact: true }).waitFor()
  await page.reload()
  await page.getByRole("heading", { name: "Overview" }).waitFor()
  const other = await context.newPage()
  await other.goto(`${server.address}/admin/`)
  await other.getByLabel("Admin token").waitFor()
  await page.getByRole("button", { name: "Sign out" }).click()
  await page.getByLabel("Admin token").waitFor()
  await page.reload()
  await page.getByLabel("Admin token").waitFor()
  assert.ok(urls.every((url) => !url.includes(admin)))
  await context.close()
})

inPage("live numbers change when a client connects", async ({ page }) => {
  const client = await connect(browser, server, Array(3).fill(server.token("--user", "alice")))
  await tile(page, "Connections").getByText("3", { exact: true }).waitFor()
  await tile(page, "Users").getByText("1", { exact: true }).waitFor()
  await page.getByRole("img", { name: /^Connections, last 15 minutes: now open 3/ }).waitFor()
  await client.end()
  await tile(page, "Connections").getByText("0", { exact: true }).waitFor()
})

inPage("users and shards are searched, sorted and paged", async ({ page }) => {
  const busy = server.token("--user", "busy", "--tier", "pro")
  const tokens = Array.from({ length: 55 }, (_, user) =>
    server.token("--user", `user-${String(user).padStart(2, "0")}`))
  const clients = await connect(browser, server, [...tokens, busy, busy])
  await section(page, "Users")
  const first = page.locator("tbody tr").first()
  await first.filter({ hasText: "busy" }).waitFor()
  await page.getByText("1 to 50 of 56").waitFor()
  await page.getByRole("button", { name: "Next" }).click()
  await page.getByText("51 to 56 of 56").waitFor()
  await page.getByRole("button", { name: "Previous" }).click()
  await page.getByRole("button", { name: /^User/ }).click()
  await first.filter({ hasText: "busy" }).waitFor()
  await page.getByRole("button", { name: /^User/ }).click()
  await first.filter({ hasText: "user-54" }).waitFor()
  assert.equal(await page.locator("th[aria-sort=descending]").innerText(), "User ▼")
  await page.getByLabel("Search user").fill("r-07")
  await page.getByText("1 to 1 of 1").waitFor()
  await page.getByLabel("Search user").fill("nobody")
  await page.getByText("No user matches.").waitFor()
  await page.getByLabel("Search user").fill("")
  await page.getByLabel("Tier").selectOption("pro")
  await page.getByText("1 to 1 of 1").waitFor()
  await section(page, "Shards")
  await page.locator("tbody tr").first().filter({ hasText: "busy" }).waitFor()
  for (const worker of ["0", "1"]) {
    const answered = page.waitForResponse((response) => response.url().includes(`worker=${worker}`))
    await page.getByLabel("Worker").selectOption(worker)
    await answered
    await page.locator("tbody tr td:nth-child(5)").first().filter({ hasText: worker }).waitFor()
    const workers = await page.locator("tbody tr td:nth-child(5)").allInnerTexts()
    assert.deepEqual([...new Set(workers)], [worker])
  }
  await clients.end()
})

inPage("a user's connections are shown and closed, tiers set and taken back", async ({ page }) => {
  const token = server.token("--user", "bob")
  const viewer = await connect(browser, server, [token], "&clientType=session-scoped&sessionId=s-42")
  const apps = await connect(browser, server, [token, token])
  await section(page, "Users")
  await page.getByRole("link", { name: "bob" }).click()
  const row = page.locator("tbody tr", { hasText: "s-42" })
  await row.filter({ hasText: "session-scoped" }).waitFor()
  await screenshot(page, "user")
  // What is not confirmed is not done.
  await row.getByRole("button").click()
  await page.getByRole("dialog").waitFor()
  await page.keyboard.press("Escape")
  await page.getByRole("dialog").waitFor({ state: "hidden" })
  await row.getByRole("button").click()
  await confirmWith(page, "Close it")
  assert.deepEqual(await viewer.closed(1), [1008])
  await page.getByText("The connection is closing.").waitFor()
  await page.getByLabel("Tier").selectOption("pro")
  await page.getByRole("button", { name: "Set tier" }).click()
  await confirmWith(page, "Set the tier")
  await page.getByText("pro, from an admin").waitFor()
  await page.getByRole("button", { name: "Use the token’s tier" }).click()
  await confirmWith(page, "Take it back")
  await page.getByText("enterprise, from the default").waitFor()
  await page.getByRole("button", { name: "Disconnect user" }).click()
  await screenshot(page, "confirm")
  await confirmWith(page, "Disconnect")
  assert.deepEqual(await apps.closed(2), [1008, 1008])
  for (const what of ["closed a connection", "set a tier", "took a tier back", "disconnected a user"]) {
    const entry = await audited(page, "ops", what)
    await entry.getByText("done").waitFor()
  }
  await viewer.end()
  await apps.end()
})

inPage("accounts are found, let in, blocked and deleted", async ({ page }) => {
  const waiting = await signUp(server)
  assert.equal(waiting.status, 403)
  const id = waiting.answer.accountId
  await section(page, "Accounts")
  await page.getByText("Sign-up needs an approval here, or an invitation.").waitFor()
  await page.getByLabel("State").selectOption("pending")
  const row = page.locator("tbody tr", { hasText: id })
  await row.getByText("waits for approval").waitFor()
  await row.getByRole("button", { name: "Approve" }).click()
  await confirmWith(page, "Cancel")
  await row.getByRole("button", { name: "Approve" }).click()
  await confirmWith(page, "Approve")
  await page.getByText("No account matches.").waitFor()
  assert.equal(await page.evaluate(() => document.activeElement.className), "scroll", "the focus stays near")
  const { status, answer } = await waiting.again()
  assert.equal(status, 200)
  const app = await connect(browser, server, [answer.token])
  await page.getByLabel("State").selectOption("")
  await page.getByLabel("Search id, key or username").fill(id.slice(4))
  await row.getByText("active", { exact: true }).waitFor()
  await screenshot(page, "accounts")
  await row.getByRole("button", { name: "Block" }).click()
  await confirmWith(page, "Block")
  await page.getByText("The account is blocked; closing 1 connection.").waitFor()
  assert.deepEqual(await app.closed(1), [4001])
  await row.getByText("blocked", { exact: true }).waitFor()
  assert.equal((await waiting.again()).status, 403)
  await row.getByRole("button", { name: "Delete" }).click()
  const accept = page.getByRole("dialog").getByRole("button", { name: "Delete" })
  assert.ok(await accept.isDisabled())
  await page.getByLabel("Type “delete” to go on").fill("delete")
  await accept.click()
  await page.getByText("The account is deleted.").waitFor()
  await page.getByText("No account matches.").waitFor()
  await page.getByLabel("User id").fill("mallory")
  await page.getByRole("button", { name: "Block …" }).click()
  await confirmWith(page, "Block")
  await page.getByText("The user is blocked; closing 0 connections.").waitFor()
  for (const what of ["approved an account", "blocked an account", "deleted an account"]) {
    const entry = await audited(page, "ops", what, id)
    await entry.getByText("done").waitFor()
  }
  await app.end()
})

inPage("an invitation makes one account, and a revoked one none", async ({ page }) => {
  await section(page, "Accounts")
  await page.getByText("There are no invitations.").waitFor()
  const make = async (note) => {
    await page.getByLabel("Note").fill(note)
    await page.getByRole("button", { name: "Make an invitation …" }).click()
    await confirmWith(page, "Make it")
    await page.locator("tbody tr", { hasText: note }).getByText("open", { exact: true }).waitFor()
    return page.getByRole("group", { name: "New secret" }).locator(".mono").innerText()
  }
  const code = await make("for Bob")
  await screenshot(page, "invitation")
  assert.equal((await signUp(server, code)).status, 200)
  const other = await make("for Carol")
  const row = page.locator("tbody tr", { hasText: "for Carol" })
  await row.getByRole("button", { name: "Revoke" }).click()
  await confirmWith(page, "Revoke")
  await row.getByText("revoked", { exact: true }).waitFor()
  assert.equal((await signUp(server, other)).status, 403)
  await page.locator("tbody tr", { hasText: "for Bob" }).getByText("used", { exact: true }).waitFor()
  for (const what of ["made an invitation", "revoked an invitation"]) {
    const entry = await audited(page, "ops", what)
    await entry.getByText("done").waitFor()
  }
  assert.ok(!(await page.getByRole("main").innerText()).includes(code), "codes are not recorded")
})

inPage("API keys are made and revoked, and call events are shown", async ({ page }) => {
  await section(page, "API keys")
  await page.getByText("There are no keys in the database.").waitFor()
  await page.getByLabel("Tenant").fill("acme")
  await page.getByLabel("Name").fill("billing")
  await page.getByRole("button", { name: "Make a key …" }).click()
  await confirmWith(page, "Make it")
  const key = await page.getByRole("group", { name: "New secret" }).locator(".mono").innerText()
  const publish = () => fetch(`${server.address}/api/v1/events`, {
    method: "POST",
    headers: { "X-API-Key": key },
    body: JSON.stringify({ event: "call.started", data: { callId: crypto.randomUUID() } }),
  }).then(({ status }) => status)
  assert.equal(await publish(), 200)
  await section(page, "Overview")
  await page.getByRole("heading", { name: "Call events" }).waitFor()
  await page.getByText(/Since the start: 1 published/).waitFor()
  await section(page, "API keys")
  await page.getByLabel("Search").fill("bill")
  const row = page.locator("tbody tr", { hasText: "acme" })
  await row.getByText("active", { exact: true }).waitFor()
  await screenshot(page, "api-keys")
  await row.getByRole("button", { name: "Revoke" }).click()
  await confirmWith(page, "Revoke")
  await row.getByText("revoked", { exact: true }).waitFor()
  const end = Date.now() + 60_000
  while (await publish() !== 401) {
    assert.ok(Date.now() < end, "a revoked key is taken")
    await new Promise((done) => setTimeout(done, 200))
  }
  for (const what of ["made an API key", "revoked an API key"]) {
    const entry = await audited(page, "ops", what)
    await entry.getByText("done").waitFor()
  }
  assert.ok(!(await page.getByRole("main").innerText()).includes(key), "keys are not recorded")
})

inPage("a broadcast is counted, confirmed, sent and recorded", async ({ page }) => {
  const token = server.token("--user", "carol")
  const apps = await connect(browser, server, [token, token])
  const machine = await connect(browser, server, [token], "&clientType=machine-scoped&machineId=m-1")
  await section(page, "Actions")
  await page.getByText("3 connections would get this now.").waitFor()
  await page.getByLabel("Filter").selectOption("user-scoped-only")
  await page.getByText("2 connections would get this now.").waitFor()
  await page.getByLabel("Filter").selectOption("machine")
  await page.getByText("Say who is to get it.").waitFor()
  await page.getByLabel("machineId").fill("m-1")
  await page.getByText("1 connection would get this now.").waitFor()
  await page.getByLabel("Filter").selectOption("all")
  await page.getByLabel("To", { exact: true }).selectOption("user")
  await page.getByLabel("User", { exact: true }).fill("carol")
  await page.getByText("3 connections would get this now.").waitFor()
  await page.getByLabel("Event").fill("maintenance")
  await page.getByLabel("Payload (JSON)").fill("{broken")
  await page.getByRole("button", { name: "Send …" }).click()
  await page.getByText(/The payload is no JSON/).waitFor()
  await page.getByLabel("Payload (JSON)").fill('{"text": "in five minutes"}')
  await page.getByRole("button", { name: "Send …" }).click()
  await screenshot(page, "broadcast")
  await confirmWith(page, "Send to 3")
  await page.getByText("Handed to 3 connections.").waitFor()
  assert.deepEqual((await apps.received("maintenance")).data, { text: "in five minutes" })
  await machine.received("maintenance")
  const entry = await audited(page, "ops", "broadcast", "carol")
  await entry.getByText("delivered: 3").waitFor()
  assert.ok(!(await entry.innerText()).includes("five minutes"), "contents are not recorded")
  await screenshot(page, "audit")
  await apps.end()
  await machine.end()
})

inPage("a test user connects from the page and every frame is shown", async ({ page }) => {
  await section(page, "Try it")
  await page.getByLabel("Client type").selectOption("session-scoped")
  await page.getByLabel("Session id").fill("trial")
  await page.getByRole("button", { name: "Connect", exact: true }).click()
  const frames = page.getByRole("log")
  await frames.getByText(/"event":"connected".*"userId":"try-it".*"sessionId":"trial"/).waitFor()
  await page.getByRole("button", { name: "Send", exact: true }).click()
  await frames.getByText(/"event":"pong"/).waitFor()
  const shown = await frames.innerText()
  assert.doesNotMatch(shown, /eyJ/, "the token is not shown")
  await screenshot(page, "try-it")
  await page.getByRole("button", { name: "Disconnect" }).click()
  await frames.getByText(/^1000/).waitFor()
  await audited(page, "ops", "try-it")
})

for (const [name, options] of Object.entries({
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: "light" },
  "phone-dark": { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: "dark" },
})) {
  inPage(`every section is readable: ${name}`, async ({ page }) => {
    const token = server.token("--user", "dora", "--tier", "free")
    const client = await connect(browser, server, [token, token], "&clientType=session-scoped&sessionId=s")
    await tile(page, "Connections").getByText("2", { exact: true }).waitFor()
    for (const heading of SECTIONS) {
      await section(page, heading)
      if (["Users", "Shards", "Audit log", "Tiers"].includes(heading)) await page.locator("tbody tr").first().waitFor()
      await screenshot(page, `${name}-${heading.toLowerCase().replaceAll(" ", "-")}`)
      assert.deepEqual(await lowContrasts(page), [], heading)
      assert.deepEqual(await namelessControls(page), [], heading)
      assert.deepEqual(await violations(page), [], heading)
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
      assert.ok(overflow <= 0, `${heading} is ${overflow} px too wide`)
    }
    await client.end()
  }, options)
}

inPage("the page works by keyboard alone", async ({ page }) => {
  await page.reload()
  await page.getByRole("heading", { name: "Overview" }).waitFor()
  await page.keyboard.press("Tab")
  assert.equal(await page.evaluate(() => document.activeElement.id), "skip")
  await page.keyboard.press("Enter")
  assert.equal(await page.evaluate(() => document.activeElement.id), "main")
  await page.getByRole("link", { name: "Actions" }).focus()
  await page.keyboard.press("Enter")
  await page.getByRole("heading", { name: "Actions", level: 1 }).waitFor()
  const visible = await page.evaluate(() => {
    const button = document.querySelector("main button")
    button.focus({ focusVisible: true })
    return getComputedStyle(button).outlineStyle
  })
  assert.equal(visible, "solid", "the focus is visible")
})

inPage("what has the focus keeps it while numbers change", async ({ page }) => {
  const region = page.getByRole("region", { name: "Promises in the last 15 minutes" })
  await region.focus()
  const client = await connect(browser, server, [server.token("--user", "fred")])
  await tile(page, "Connections").getByText("1", { exact: true }).waitFor()
  assert.ok(await region.evaluate((element) => element === document.activeElement))
  await client.end()
})

test("the audit log is still there after a restart", { timeout: 300_000 }, async () => {
  const own = await startServer()
  const token = own.token("--user", "ops", "--admin")
  const put = await fetch(`${own.address}/admin/v1/users/gina/tier`, {
    method: "PUT", headers: { Authorization: `Bearer ${token}` }, body: JSON.stringify({ tier: "pro" }),
  })
  assert.equal(put.status, 200)
  await own.restart()
  const { page, context, faults } = await openPage(browser, own)
  await signIn(page, own, token)
  const entry = await audited(page, "ops", "set a tier", "gina")
  await entry.getByText("done").waitFor()
  assert.deepEqual(faults, [])
  await context.close()
  await own.stop()
})

// Last: there is no way back.
inPage("draining asks for a word, closes connections and is shown", async ({ page }) => {
  const client = await connect(browser, server, [server.token("--user", "erin")])
  await section(page, "Actions")
  await page.getByLabel("Over how many seconds").fill("0")
  await page.getByRole("button", { name: "Drain …" }).click()
  const accept = page.getByRole("dialog").getByRole("button", { name: "Drain" })
  assert.ok(await accept.isDisabled())
  await page.getByLabel("Type “drain” to go on").fill("drain")
  await accept.click()
  assert.deepEqual(await client.closed(1), [1001])
  await page.getByText("draining: no new connections").waitFor()
  await audited(page, "ops", "drained the server")
  await client.end()
})
