// The live feed: one WebSocket that is opened again when it is lost. The token is its first
// message, never part of the URL.

import { session } from "./api.js"

const LONGEST_WAIT = 15_000
const HISTORY = 15 * 60_000

class Feed extends EventTarget {
  points = []
  update = null
  about = null
  #socket = null
  #wait = 1000
  #timer = null

  start() {
    if (this.#socket) return
    const url = new URL("v1/live", location.href)
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
    url.hash = ""
    url.search = ""
    this.#state("connecting")
    const socket = new WebSocket(url)
    this.#socket = socket
    socket.onopen = () => {
      socket.send(JSON.stringify({ event: "auth", data: { token: session.token } }))
    }
    socket.onmessage = (message) => this.#take(JSON.parse(message.data))
    socket.onclose = (close) => {
      if (this.#socket !== socket) return
      this.#socket = null
      if (close.code === 4001) return session.onrefused(close.reason)
      this.#state("lost")
      this.#timer = setTimeout(() => this.start(), this.#wait * (0.5 + Math.random() / 2))
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT)
    }
  }

  stop() {
    clearTimeout(this.#timer)
    const socket = this.#socket
    this.#socket = null
    socket?.close()
    this.points = []
    this.update = null
  }

  #take({ event, data }) {
    if (event === "history") {
      this.#wait = 1000
      this.about = data
      this.points = data.points
      this.#state("live")
    } else if (event === "update") {
      this.update = data
      const oldest = data.point.at - HISTORY
      // A clock that was set back must not leave points from the future behind.
      this.points = this.points.filter((point) => point.at >= oldest && point.at < data.point.at)
      this.points.push(data.point)
      this.dispatchEvent(new Event("update"))
    }
  }

  #state(state) {
    this.state = state
    this.dispatchEvent(new Event("state"))
  }
}

export const feed = new Feed()
