// Runs the published Happy command-line client against a server, and plays the phone.
//
//   node happy_client.mjs <server binary> <name>=<folder of an installation> […]
//
// The names are those of the packages, as `happy@1.2.5`; `scripts/happy-client` installs them and
// calls this. Prints one line for each step that went as it should, and ends with 0 if all did.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { base64 } from "./happy/boxes.mjs";
import { Phone } from "./happy/phone.mjs";
import { Client, endAll, ended, says, server as startServer } from "./happy/processes.mjs";

const STUB = fileURLToPath(new URL("./happy/acp_stub.mjs", import.meta.url));
// How soon a daemon must be back after the server is.
const BACK_WITHIN_MS = 10_000;

const [binary, ...installations] = process.argv.slice(2);
if (!binary || installations.length === 0) {
  console.error("usage: node happy_client.mjs <server binary> <name>=<folder> […]");
  process.exit(2);
}

let passed = 0;
async function step(what, work) {
  const began = Date.now();
  const value = await work();
  passed += 1;
  console.log(`ok  ${what} (${Date.now() - began} ms)`);
  return value;
}

async function json(path) {
  return JSON.parse(await readFile(path, "utf8"));
}

async function until(what, work, patience = 60_000) {
  const end = Date.now() + patience;
  let last;
  while (Date.now() < end) {
    try {
      const value = await work();
      if (value) {
        return value;
      }
      last = undefined;
    } catch (err) {
      last = err;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain for ${what}`, { cause: last });
}

// Pairing as a user does it: a terminal shows a key, the phone approves it.
async function pair(client, phone, inNewForm) {
  const login = client.onTerminal(["auth", "login"]);
  // The menu is there when it says how to choose.
  await says(login, /Mobile/);
  await new Promise((resolve) => setTimeout(resolve, 500));
  login.stdin.write("1");
  const [, key] = await says(login, /happy:\/\/terminal\?([A-Za-z0-9_-]+)/);
  await phone.approve(key, inNewForm);
  const path = join(client.home, "access.key");
  const access = await until("access.key", () => json(path));
  assert.equal(typeof access.token, "string");
  const settings = join(client.home, "settings.json");
  await until("a machine id", async () => (await json(settings)).machineId);
  login.kill("SIGTERM");
  await ended(login, 5000);
}

// The files that pairing leaves, written by hand: the older form, with the phone's own token.
async function writeFiles(client, phone) {
  const access = { token: phone.token, secret: base64(phone.seed) };
  await writeFile(join(client.home, "access.key"), JSON.stringify(access), { mode: 0o600 });
  const settings = { schemaVersion: 2, onboardingCompleted: true, machineId: randomUUID() };
  await writeFile(join(client.home, "settings.json"), JSON.stringify(settings));
}

async function isConnected(client) {
  const { httpPort } = await json(join(client.home, "daemon.state.json"));
  const response = await fetch(`http://127.0.0.1:${httpPort}/status`, { method: "POST" });
  return (await response.json()).connected === true;
}

async function bash(phone, machine) {
  const answer = await phone.rpc(machine, "bash", { command: "echo hi" });
  assert.equal(answer.stdout, "hi\n", JSON.stringify(answer));
}

async function machineOf(phone, client) {
  const { machineId } = await json(join(client.home, "settings.json"));
  return (await phone.call("GET", `/v1/machines/${machineId}`)).machine;
}

async function startDaemon(client, phone, hasStatus) {
  const from = phone.heard.length;
  const daemon = client.run(["daemon", "start-sync"], { cwd: client.home });
  const hears = (kind, also = () => true) =>
    phone.hears(kind, (message) => message.kind === kind && also(message), 90_000, from);
  await hears("new-machine");
  await hears("update-machine");
  const activity = await hears("machine-activity", ({ active }) => active);
  assert.equal(typeof activity.activeAt, "number");
  if (hasStatus) {
    await until("the daemon's own word that it is connected", () => isConnected(client));
  }
  return daemon;
}

// A session with a stub in the place of a model.
async function session(client, phone, name) {
  const from = phone.heard.length;
  const folder = join(client.home, "work");
  await mkdir(folder, { recursive: true });
  let agent;
  const made = await step(`${name}: "happy acp" opens a session`, async () => {
    agent = client.run(["acp", "--", process.execPath, STUB], { cwd: folder });
    const kind = "new-session";
    return phone.hears(kind, (message) => message.kind === kind, 90_000, from);
  });
  const cipher = phone.cipherOf(made);
  const path = `/v3/sessions/${made.id}/messages`;
  await step(`${name}: the agent answers the phone's message in encrypted envelopes`, async () => {
    await phone.hears("life of the session", ({ kind, id }) => kind === "activity" && id === made.id);
    const said = { role: "user", content: { type: "text", text: "good day" } };
    const message = { content: cipher.encrypt(said), localId: randomUUID() };
    const { messages } = await phone.call("POST", path, { messages: [message] });
    assert.equal(messages[0].localId, message.localId);
    const again = await phone.call("POST", path, { messages: [message] });
    assert.equal(again.messages[0].seq, messages[0].seq, "stored once");
    const event = ({ message }) => cipher.decrypt(message.content.c).content?.ev;
    const hears = (t, also = () => true) =>
      phone.hears(`an envelope "${t}"`, (heard) => {
        const ev = heard.kind === "new-message" && heard.sid === made.id && event(heard);
        return ev && ev.t === t && also(ev);
      }, 60_000, from);
    await hears("turn-start");
    await hears("text", ({ text }) => text.includes("stub heard: good day"));
    await hears("turn-end");
  });
  await step(`${name}: messages are numbered without gaps, and fetched by their numbers`, async () => {
    const all = await phone.call("GET", `${path}?after_seq=0&limit=500`);
    assert.equal(all.hasMore, false);
    assert.deepEqual(all.messages.map(({ seq }) => seq), all.messages.map((_, index) => index + 1));
    const last = await phone.call("GET", `${path}?before_seq=${all.messages.length + 1}&limit=1`);
    assert.equal(last.messages[0].seq, all.messages.length);
    assert.equal(last.hasMore, all.messages.length > 1);
  });
  await step(`${name}: the session's own methods answer`, async () => {
    const answer = await phone.rpc(made, "bash", { command: "echo session" });
    assert.equal(answer.stdout, "session\n", JSON.stringify(answer));
  });
  return { agent, made };
}

async function endSession({ agent, made }, phone, name) {
  const from = phone.heard.length;
  await step(`${name}: "killSession" ends it, inactive and not archived`, async () => {
    const answer = await phone.rpc(made, "killSession", {});
    assert.equal(answer.success, true, JSON.stringify(answer));
    const isOver = ({ kind, id, active }) => kind === "activity" && id === made.id && !active;
    await phone.hears("the end of the session", isOver, 30_000, from);
    await ended(agent);
    const { state } = await phone.call("GET", `/v1/sessions/${made.id}/state`);
    assert.equal(state, "stopped");
  });
}

async function run(name, folder, byHand) {
  const isNew = name.startsWith("happy@");
  const work = await mkdtemp(join(tmpdir(), "happy-client-"));
  const [home, data] = [join(work, "home"), join(work, "data")];
  await mkdir(home);
  let phone;
  try {
    let { child, address } = await startServer(binary, data, "127.0.0.1:0");
    phone = new Phone(address);
    await step(`${name}: the phone signs in and listens`, async () => {
      await phone.signIn();
      await phone.connect();
    });
    const client = new Client(folder, home, address);
    if (byHand) {
      await step(`${name}: its files are written by hand`, () => writeFiles(client, phone));
    } else {
      const form = isNew ? "with a key of content" : "with the account's secret";
      await step(`${name}: "happy auth login" is paired on a terminal, ${form}`, () =>
        pair(client, phone, isNew),
      );
    }
    const daemon = await step(`${name}: the daemon registers its machine and is connected`, () =>
      startDaemon(client, phone, isNew),
    );
    const machine = await machineOf(phone, client);
    await step(`${name}: "bash" of the machine answers, encrypted`, () => bash(phone, machine));
    if (!byHand) {
      const open = isNew && (await session(client, phone, name));
      await step(`${name}: the server is killed and starts again`, async () => {
        child.kill("SIGKILL");
        await ended(child);
        ({ child } = await startServer(binary, data, address.replace("http://", "")));
      });
      await step(`${name}: within 10 s the daemon is back and answers`, async () => {
        const back = Date.now();
        const answers = () => bash(phone, machine).then(() => true);
        await until("an answer of the daemon", answers, BACK_WITHIN_MS);
        assert.ok(Date.now() - back < BACK_WITHIN_MS, "not later");
      });
      if (open) {
        await step(`${name}: the session is back as well`, async () => {
          const answers = async () =>
            (await phone.rpc(open.made, "bash", { command: "echo again" })).stdout === "again\n";
          await until("an answer of the session", answers, 30_000);
        });
        await endSession(open, phone, name);
      }
    }
    await step(`${name}: the daemon is stopped, and its machine goes offline`, async () => {
      const from = phone.heard.length;
      const stop = client.run(["daemon", "stop"]);
      const isOffline = ({ kind, id, active }) =>
        kind === "machine-activity" && id === machine.id && active === false;
      await phone.hears("machine-activity false", isOffline, 60_000, from);
      await ended(stop);
      await ended(daemon);
    });
    child.kill("SIGTERM");
    assert.equal(await ended(child), 0, "the server ends well");
  } catch (err) {
    for (const log of await readdir(join(home, "logs")).catch(() => [])) {
      const text = await readFile(join(home, "logs", log), "utf8");
      console.error(`--- ${log}\n${text.slice(-6000)}`);
    }
    throw err;
  } finally {
    phone?.close();
    endAll();
    await rm(work, { recursive: true, force: true, maxRetries: 5 });
  }
}

const hasInterface = Object.values(networkInterfaces())
  .flat()
  .some(({ internal, family }) => !internal && family === "IPv4");
if (!hasInterface) {
  console.error("happy@1.2.5 connects again only where there is an IPv4 address beside 127.0.0.1");
  process.exit(2);
}
const began = Date.now();
process.once("exit", endAll);
try {
  for (const installation of installations) {
    const cut = installation.lastIndexOf("=");
    const [name, folder] = [installation.slice(0, cut), installation.slice(cut + 1)];
    await run(name, folder, false);
    if (name.startsWith("happy@")) {
      await run(`${name} by hand`, folder, true);
    }
  }
} catch (err) {
  console.error(err);
  console.error(`FAILED after ${passed} steps`);
  process.exit(1);
}
console.log(`all ${passed} steps passed in ${Math.round((Date.now() - began) / 1000)} s`);
