// The built server on a free port, a browser, and what tests watch in every page.

import { execFileSync, spawn } from "node:child_process"
import { generateKeyPairSync, randomBytes, sign } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { createInterface } from "node:readline"
import { chromium } from "playwright-core"

const ROOT = resolve(import.meta.dirname, "../../..")
const BINARY = process.env.DORMOUSE_BINARY ?? join(ROOT, "target/debug/dormouse")
const BROWSER = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync)

/** Longest wait for anything, milliseconds. */
const PATIENCE = Number(process.env.PATIENCE ?? 60_000)

/** Where screenshots go; none are made without it. */
const SCREENSHOTS = process.env.SCREENSHOTS

// Settings of whoever runs this must not reach the server.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("DORMOUSE_")))

/** Starts the server; resolves when it listens. */
export async function startServer(...flags) {
  const folder = mkdtempSync(join(tmpdir(), "dormouse-browser-"))
  const server = {
    token: (...arguments_) =>
      execFileSync(BINARY, ["token", "--data-dir", folder, ...arguments_], { env: environment, encoding: "utf8" }).trim(),
    async restart() {
      await end()
      await begin()
    },
    async stop() {
      await end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  let end

  async function begin() {
    const child = spawn(BINARY, [
      "--listen", "127.0.0.1:0", "--data-dir", folder,
      "--set", "workers=2", "--set", "shutdown_timeout=100ms", ...flags,
    ], { env: environment, stdio: ["ignore", "pipe", "pipe"] })
    let log = ""
    child.stderr.on("data", (data) => { log += data })
    const ended = new Promise((done) => { child.on("exit", done) })
    end = async () => {
      child.kill("SIGTERM")
      const status = await ended
      if (status !== 0) throw new Error(`the server ended with ${status}: ${log}`)
    }
    server.address = await new Promise((found, failed) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const match = /^listening on (http:\S+)/.exec(line)
        if (match) found(match[1])
      })
      child.on("error", failed)
      ended.then((status) => failed(new Error(`the server ended with ${status}: ${log}`)))
    })
  }

  await begin()
  return server
}

/** Signs in with a key that is new; {status, answer}, and `again()` with the same key. */
export async function signUp(server, invite) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const challenge = randomBytes(32)
  const body = JSON.stringify({
    publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64"),
    challenge: challenge.toString("base64"),
    signature: sign(null, challenge, privateKey).toString("base64"),
  })
  const again = async () => {
    const headers = invite ? { "X-Invite-Code": invite } : {}
    const response = await fetch(`${server.address}/v1/auth`, { method: "POST", headers, body })
    return { status: response.status, answer: await response.json(), again }
  }
  return again()
}

/** Starts the browser with a profile of its own. */
export async function startBrowser() {
  if (!BROWSER) throw new Error("no Chromium: install the package chromium, or name the browser in CHROMIUM")
  return chromium.launch({
    executablePath: BROWSER,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  })
}

/**
 * Opens a page of its own session. What must never happen is noted in `faults`: messages of the
 * console, errors, requests to elsewhere. `urls` has every URL that was asked for.
 */
export async function openPage(browser, server, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  context.setDefaultTimeout(PATIENCE)
  const page = await context.newPage()
  const faults = []
  const urls = []
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`${message.type()}: ${message.text()}`)
  })
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`))
  page.on("request", (request) => {
    urls.push(request.url())
    if (!request.url().startsWith(server.address)) faults.push(`asked ${request.url()}`)
  })
  page.on("websocket", (socket) => urls.push(socket.url()))
  return { page, context, faults, urls }
}

/** Signs in with this token. */
export async function signIn(page, server, token) {
  await page.goto(`${server.address}/admin/`)
  await page.getByLabel("Admin token").fill(token)
  await page.getByRole("button", { name: "Sign in" }).click()
  await page.getByRole("heading", { name: "Overview" }).waitFor()
}

/** Opens WebSockets from a page that is nobody's, one for each token. */
export async function connect(browser, server, tokens, query = "") {
  const context = await browser.newContext()
  context.setDefaultTimeout(PATIENCE)
  const page = await context.newPage()
  const url = `${server.address.replace("http", "ws")}/v1/updates?token=`
  await page.evaluate(([url, tokens, query]) => {
    window.received = []
    window.endings = []
    window.sockets = tokens.map((token) => {
      const socket = new WebSocket(`${url}${token}${query}`)
      socket.onmessage = (message) => window.received.push(JSON.parse(message.data))
      socket.onclose = (close) => window.endings.push(close.code)
      return socket
    })
  }, [url, tokens, query])
  await page.waitForFunction((count) =>
    window.received.filter(({ event }) => event === "connected").length === count, tokens.length)
  return {
    page,
    received: (event) => page.waitForFunction((event) =>
      window.received.find((frame) => frame.event === event), event).then((handle) => handle.jsonValue()),
    closed: (count) => page.waitForFunction((count) =>
      window.endings.length === count && window.endings, count).then((handle) => handle.jsonValue()),
    end: () => context.close(),
  }
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** What axe-core finds against WCAG 2.2, levels A and AA, contrast included. */
export async function violations(page) {
  // Evaluated by the debugger, since the page's policy lets no script in.
  await page.evaluate(AXE)
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
  const { violations } = await page.evaluate((values) =>
    window.axe.run(document, { runOnly: { type: "tag", values } }), tags)
  return violations.flatMap(({ id, help, nodes }) => nodes.map(({ html }) => `${id}: ${help}: ${html}`))
}

/** Saves what a page shows, where screenshots are wanted. */
export async function screenshot(page, name) {
  if (!SCREENSHOTS) return
  mkdirSync(SCREENSHOTS, { recursive: true })
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true })
}

/** Texts whose contrast with what is behind them is below WCAG AA (2.2, success criterion 1.4.3). */
export function lowContrasts(page) {
  return page.evaluate(() => {
    const parse = (color) => {
      const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number)
      return { r, g, b, a }
    }
    const over = (top, below) => ({
      r: top.r * top.a + below.r * (1 - top.a),
      g: top.g * top.a + below.g * (1 - top.a),
      b: top.b * top.a + below.b * (1 - top.a),
      a: 1,
    })
    const luminance = ({ r, g, b }) => {
      const [x, y, z] = [r, g, b].map((channel) => {
        const share = channel / 255
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * x + 0.7152 * y + 0.0722 * z
    }
    const behind = (element) => {
      const layers = []
      for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor))
      return layers.reverse().reduce((below, layer) => over(layer, below), { r: 255, g: 255, b: 255, a: 1 })
    }
    const low = []
    for (const element of document.querySelectorAll("body *")) {
      const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
      if (!hasText || !element.checkVisibility() || element.tagName === "OPTION") continue
      const style = getComputedStyle(element)
      const back = behind(element)
      const front = over(parse(style.color), back)
      const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a)
      const ratio = (light + 0.05) / (dark + 0.05)
      const size = parseFloat(style.fontSize)
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
      if (ratio < (isLarge ? 3 : 4.5)) low.push(`${ratio.toFixed(2)} ${element.tagName} ${element.textContent.slice(0, 40)}`)
    }
    return low
  })
}

/** Controls without a name that a screen reader could say. */
export function namelessControls(page) {
  return page.evaluate(() => [...document.querySelectorAll("button, input, select, textarea, a")]
    .filter((element) => element.checkVisibility())
    .filter((element) => !(element.labels?.length || element.getAttribute("aria-label") || element.textContent.trim()))
    .map((element) => element.outerHTML))
}
