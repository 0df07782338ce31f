// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 })
const clock = new Intl.DateTimeFormat("en", { timeStyle: "medium", hour12: false })
const date = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium", hour12: false })

export const count = (number) => (number === null || number === undefined ? "–" : whole.format(number))

/** How many connections, in words. */
export const connections = (number) => `${count(number)} ${number === 1 ? "connection" : "connections"}`

export const rate = (number) => (number >= 100 ? whole.format(number) : short.format(number))

/** Milliseconds, null where nothing was measured. */
export function ms(number) {
  if (number === null || number === undefined) return "–"
  if (number < 1) return `${short.format(number * 1000)} µs`
  return number < 1000 ? `${short.format(number)} ms` : `${short.format(number / 1000)} s`
}

export function bytes(number) {
  if (number === null || number === undefined) return "–"
  const units = ["B", "KiB", "MiB", "GiB", "TiB"]
  let unit = 0
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024
    unit += 1
  }
  return `${short.format(number)} ${units[unit]}`
}

export const percent = (number) => (number === null || number === undefined ? "–" : `${number} %`)

export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`
}

export const ago = (at) => (at ? `${duration(Date.now() - at)} ago` : "–")

export const timeOfDay = (at) => clock.format(at)

export const time = (at) => date.format(at)
