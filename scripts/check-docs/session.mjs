// A shell in which the commands of a page are run, and the server that they talk to.

import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"

/** Longest time that a block may take, milliseconds. */
const PATIENCE = 120_000

// The server is started from the shell, so that it sees what a page has exported. It is the only
// one that `pidof` knows here.
const PRELUDE = `
set -euo pipefail
top=$PWD
cargo() { echo "built before: cargo $*"; }
npm() { echo "installed before: npm $*"; }
pidof() { cat "$top/server.pid"; }
start_server() {
  (cd "$top" && exec dormouse >server.out 2>server.log) &
  echo $! >"$top/server.pid"
  until grep -qs "^listening on" "$top/server.out"; do
    kill -0 "$(pidof)" || { cat "$top/server.log"; return 1; }
    sleep 0.05
  done
}
stop_server() {
  kill -TERM "$(pidof)"
  wait "$(pidof)"
  rm "$top/server.pid" "$top/server.out"
}
`

const freePort = () => new Promise((found, failed) => {
  const server = createServer()
  server.on("error", failed)
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address()
    server.close(() => found(port))
  })
})

export class Session {
  #shell
  #output = ""
  #changed = () => {}
  #blocks = 0

  /** A shell in `folder` that finds `binaries` first. */
  static async start({ folder, binaries }) {
    const session = new Session()
    session.folder = folder
    session.host = `127.0.0.1:${await freePort()}`
    session.address = `http://${session.host}`
    // Settings of whoever runs this must not reach the server.
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("DORMOUSE_")))
    session.#shell = spawn("bash", ["--noprofile", "--norc"], {
      cwd: folder,
      env: { ...environment, PATH: `${binaries}:${process.env.PATH}`, DORMOUSE_LISTEN: session.host },
      stdio: ["pipe", "pipe", "pipe"],
    })
    for (const stream of [session.#shell.stdout, session.#shell.stderr]) {
      stream.on("data", (data) => {
        session.#output += data
        session.#changed()
      })
    }
    session.ended = new Promise((done) => session.#shell.on("exit", (status) => {
      done(status)
      session.#changed(status ?? 1)
    }))
    await session.#send(PRELUDE)
    return session
  }

  get isServing() {
    return existsSync(join(this.folder, "server.pid"))
  }

  async serve() {
    if (!this.isServing) await this.#send("start_server")
  }

  async stop() {
    if (this.isServing) await this.#send("stop_server")
  }

  /** Runs a block; returns what it printed. Fails when a command of it does. */
  async run(block) {
    if (block.trim() === "dormouse") {
      await this.serve()
      return ""
    }
    let output = ""
    for (const command of commandsOf(block)) {
      if (/# with the server stopped$/.test(command)) await this.stop()
      else if (/127\.0\.0\.1:8787|pidof/.test(command)) await this.serve()
      output += await this.#send(this.here(command))
    }
    return output
  }

  /** What the shell prints for a command, without the line's end. */
  async ask(command) {
    return (await this.#send(command)).trim()
  }

  /** A text with this server's address in place of the pages'. */
  here(text) {
    return text.replaceAll("127.0.0.1:8787", this.host)
      .replaceAll("https://realtime.example.com", this.address)
      .replaceAll("wss://realtime.example.com", `ws://${this.host}`)
  }

  log() {
    const path = join(this.folder, "server.log")
    return existsSync(path) ? readFileSync(path, "utf8") : ""
  }

  async end() {
    for (const end of this.ends ?? []) end()
    const hasEnded = this.#shell.exitCode !== null
    if (!hasEnded) await this.stop()
    // A shell that failed has left its server behind.
    else if (this.isServing) process.kill(Number(readFileSync(join(this.folder, "server.pid"), "utf8")))
    this.#shell.stdin.end()
    await this.ended
  }

  async #send(text) {
    this.#blocks += 1
    const mark = `@@ done ${this.#blocks} @@`
    this.#output = ""
    let timer
    const done = new Promise((done, failed) => {
      timer = setTimeout(() => failed(new Error(`no end within ${PATIENCE / 1000} s:\n${this.#output}`)), PATIENCE)
      this.#changed = (status) => {
        const end = this.#output.indexOf(mark)
        if (end >= 0) done(this.#output.slice(0, end))
        else if (status !== undefined) failed(new Error(`a command failed:\n${this.#output}`))
      }
    })
    this.#shell.stdin.write(`${text}\necho "${mark}"\n`)
    try {
      return await done
    } finally {
      clearTimeout(timer)
    }
  }
}

/** The commands of a block: lines, joined where they go on or a quote is open. */
function commandsOf(block) {
  const commands = []
  let command = ""
  for (const line of block.split("\n")) {
    command += command ? `\n${line}` : line
    const quotes = command.replaceAll(/\\./g, "").match(/'/g)?.length ?? 0
    if (line.endsWith("\\") || quotes % 2) continue
    if (command.trim()) commands.push(command)
    command = ""
  }
  return commands
}
