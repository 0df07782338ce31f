// The admin API, and the token that opens it. The token stays in this tab: it is in no URL, and
// closing the tab forgets it.

const KEY = "dormouse-admin-token"

/** What the server refused, with its own text. */
export class Refusal extends Error {
  constructor(status, text) {
    super(text)
    this.status = status
  }
}

export const session = {
  get token() {
    return sessionStorage.getItem(KEY)
  },
  begin(token) {
    sessionStorage.setItem(KEY, token)
  },
  end() {
    sessionStorage.removeItem(KEY)
  },
  /** Called when the server does not take the token any more. */
  onrefused: () => {},
}

/** Asks the admin API; `path` is behind `/admin/v1/`. Throws [`Refusal`]. */
export async function api(method, path, body, token = session.token) {
  let response
  try {
    response = await fetch(`v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}` },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    })
  } catch {
    throw new Refusal(0, "the server cannot be reached")
  }
  const answer = await response.json().catch(() => ({}))
  if (response.ok) return answer
  const refusal = new Refusal(response.status, answer.error ?? `the server answered ${response.status}`)
  if (response.status === 401 && token === session.token) session.onrefused(refusal.message)
  throw refusal
}

/** A query string from what is set. */
export function query(parameters) {
  const set = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null)
  return set.length ? `?${new URLSearchParams(set)}` : ""
}
