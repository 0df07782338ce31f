// Blocks of code in Markdown, and answers compared with what a page shows.

/** The fenced blocks of a page: {language, text, line, notRun}. */
export function blocksOf(markdown) {
  const blocks = []
  const lines = markdown.split("\n")
  for (let at = 0; at < lines.length; at += 1) {
    const opening = /^( *)```(\w+)$/.exec(lines[at])
    if (!opening) continue
    const [, indent, language] = opening
    const end = lines.indexOf(`${indent}\`\`\``, at + 1)
    if (end < 0) throw new Error(`line ${at + 1}: the block has no end`)
    const above = lines.slice(0, at).findLast((line) => line.trim())
    blocks.push({
      language,
      line: at + 1,
      text: lines.slice(at + 1, end).map((line) => line.slice(indent.length)).join("\n"),
      notRun: /<!-- not run: (.+) -->/.exec(above ?? "")?.[1] ?? null,
    })
    at = end
  }
  return blocks
}

/**
 * Fails unless `found` has all that `told` has: the same types throughout, and the same words and
 * truths where these say what came of it.
 */
export function sameShape(told, found, path = "") {
  const kind = (value) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value)
  if (kind(told) !== kind(found)) throw new Error(`${path || "the answer"}: ${JSON.stringify(told)} is told, ${JSON.stringify(found)} came`)
  if (typeof told === "object" && told !== null) {
    for (const [name, value] of Object.entries(told)) {
      if (!(name in found)) throw new Error(`${path}${name} is told, and is not in ${JSON.stringify(found)}`)
      sameShape(value, found[name], `${path}${name}.`)
    }
    return
  }
  // Ids and times differ each time; these must not.
  const isFixed = typeof told === "boolean" || /(success|delivered|event|type|text|clientType)\.$/.test(path)
  if (isFixed && told !== found) throw new Error(`${path} is told as ${told}, and was ${found}`)
}
