// The programs of a run: the server, and the client on a terminal or without one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const running = new Set();

function start(command, args, options) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
  child.log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      child.log += data;
    });
  }
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

export function endAll() {
  for (const child of running) {
    child.kill("SIGKILL");
  }
}

export async function ended(child, patience = 30_000) {
  if (child.exitCode === null && child.signalCode === null) {
    const timer = setTimeout(() => child.kill("SIGKILL"), patience);
    await once(child, "exit");
    clearTimeout(timer);
  }
  return child.exitCode;
}

// Waits until the program has printed what the pattern matches.
export async function says(child, pattern, patience = 60_000) {
  const end = Date.now() + patience;
  for (;;) {
    const match = child.log.match(pattern);
    if (match) {
      return match;
    }
    const left = end - Date.now();
    if (left <= 0 || child.exitCode !== null) {
      throw new Error(`${pattern} was not printed:\n${child.log.slice(-2000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, 50)));
  }
}

// Starts a server; returns it with its address when it listens.
export async function server(binary, dataDir, listen) {
  const args = ["--listen", listen, "--data-dir", dataDir, "--set", "log.level=warn"];
  const child = start(binary, args);
  child.stdin.end();
  for await (const line of createInterface({ input: child.stdout })) {
    const [, address] = line.match(/^listening on (http:\S+)/) ?? [];
    if (address) {
      return { child, address };
    }
  }
  throw new Error(`the server did not start:\n${child.log}`);
}

// A client: an installed package and a state folder of its own.
export class Client {
  constructor(folder, home, url) {
    this.program = `${folder}/node_modules/.bin/happy`;
    this.home = home;
    this.env = {
      PATH: process.env.PATH,
      HOME: home,
      TERM: "xterm",
      HAPPY_SERVER_URL: url,
      HAPPY_WEBAPP_URL: url,
      HAPPY_HOME_DIR: home,
      HAPPY_DISABLE_CAFFEINATE: "1",
      HEADLESS: "1",
      DEBUG: "1",
    };
  }

  run(args, options = {}) {
    return start(this.program, args, { env: this.env, ...options });
  }

  // On a pseudo-terminal, which util-linux's `script` makes.
  onTerminal(args) {
    // It has no size of its own where there is no terminal around it.
    const command = ["stty cols 100 rows 30; exec", this.program, ...args].join(" ");
    return start("script", ["-qfec", command, "/dev/null"], { env: this.env });
  }
}
