#!/usr/bin/env node
// Runs the commands of the documentation against a real server: every block of `sh`, `js` and
// `toml` in README.md and docs/*.md, page by page, as a reader would who follows the page from its
// top. A page has one shell and one server, in a folder of its own; JSON below a command is what
// that command must answer. What a block of JavaScript must achieve is in expectations.mjs.
//
//   scripts/check-docs/main.mjs [PAGE …]
//
// In a page, `<!-- not run: REASON -->` above a block leaves it out. Lines that end in
// "# with the server stopped" are run so.
//
// Needs built binaries (DORMOUSE_BINARY, or target/debug/dormouse, with dormouse-bench beside it)
// and the packages of server/tests/clients (`npm ci` there). Ends what it starts.

import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, resolve } from "node:path"
import { blocksOf, sameShape } from "./blocks.mjs"
import { pages, runScript } from "./expectations.mjs"
import { Session } from "./session.mjs"

const ROOT = resolve(import.meta.dirname, "../..")
const BINARY = resolve(process.env.DORMOUSE_BINARY ?? join(ROOT, "target/debug/dormouse"))

/** A copy of what commands of the pages touch, so that nothing of the checkout is changed. */
function workspace() {
  const folder = mkdtempSync(join(tmpdir(), "dormouse-docs-"))
  for (const part of ["deploy", "server/tests/clients"]) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true, filter: (path) => !/deploy\/(\.env|secrets)$/.test(path) })
  }
  return folder
}

/** Runs one page; returns how many blocks were run, and how many were left out. */
async function check(path) {
  const page = basename(path)
  const about = pages[page] ?? {}
  const blocks = blocksOf(readFileSync(path, "utf8"))
  const folder = workspace()
  const session = await Session.start({ folder, binaries: dirname(BINARY) })
  const counts = { run: 0, left: 0 }
  let scripts = 0
  let answer = null
  try {
    const replacements = (await about.before?.(session)) ?? []
    for (const block of blocks) {
      const where = `${path}:${block.line}`
      const isScript = block.language === "js"
      const script = isScript ? about.scripts?.[scripts] : null
      scripts += Number(isScript)
      if (block.notRun) {
        counts.left += 1
        continue
      }
      const text = replacements.reduce((text, [from, to]) => text.replaceAll(from, to), block.text)
      try {
        if (block.language === "sh") {
          answer = await session.run(text)
          counts.run += 1
        } else if (block.language === "toml") {
          writeFileSync(join(folder, "dormouse.toml"), text)
          counts.run += 1
        } else if (isScript) {
          if (!script) throw new Error("expectations.mjs does not say what this block must achieve")
          await runScript(text, script, session)
          counts.run += 1
        } else if (block.language === "json") {
          const told = JSON.parse(text)
          if (answer !== null) sameShape(told, lastJson(answer))
          answer = null
        }
      } catch (error) {
        throw new Error(`${where}: ${error.message}\n--- block\n${text}\n--- log of the server\n${session.log().slice(-2000)}`)
      }
      if (block.language !== "sh") answer = null
    }
    if (scripts !== (about.scripts?.length ?? 0)) throw new Error(`${path}: ${scripts} scripts, and not as many in expectations.mjs`)
  } finally {
    await session.end()
    rmSync(folder, { recursive: true, force: true })
  }
  return counts
}

/** The last line of a command's output that is JSON. */
function lastJson(output) {
  const line = output.trim().split("\n").reverse().find((line) => line.startsWith("{"))
  if (!line) throw new Error(`no JSON in the output:\n${output}`)
  return JSON.parse(line)
}

const chosen = process.argv.slice(2)
const docs = readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md"))
const all = [join(ROOT, "README.md"), ...docs.map((name) => join(ROOT, "docs", name))]
const paths = chosen.length ? chosen.map((path) => resolve(path)) : all
const sum = { run: 0, left: 0 }
for (const path of paths) {
  const began = performance.now()
  const { run, left } = await check(path)
  sum.run += run
  sum.left += left
  if (run) console.log(`${basename(path)}: ${run} blocks in ${((performance.now() - began) / 1000).toFixed(1)} s`)
}
if (!sum.run) throw new Error("no block was run")
console.log(`${sum.run} blocks of ${paths.length} pages do what the pages say; ${sum.left} are marked as not run`)
