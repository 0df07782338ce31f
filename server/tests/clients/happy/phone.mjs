// What the app on a phone does: it signs in, lets a terminal into its account, listens, calls.
import { randomBytes } from "node:crypto";
import { io } from "socket.io-client";
import nacl from "tweetnacl";
import { base64, bytes, bytesOfUrl, keyCipher, openSealed, sealFor, secretCipher } from "./boxes.mjs";

export class Phone {
  constructor(url) {
    this.url = url;
    this.seed = randomBytes(32);
    // Newer terminals get the public half, and seal their data keys for it.
    this.content = nacl.box.keyPair();
    this.heard = [];
    this.waiting = new Set();
  }

  async signIn() {
    const pair = nacl.sign.keyPair.fromSeed(this.seed);
    const challenge = randomBytes(32);
    const answer = await this.call("POST", "/v1/auth", {
      publicKey: base64(pair.publicKey),
      challenge: base64(challenge),
      signature: base64(nacl.sign.detached(challenge, pair.secretKey)),
    });
    this.token = answer.token;
  }

  async call(method, path, body) {
    const headers = { "content-type": "application/json" };
    if (this.token) {
      headers.authorization = `Bearer ${this.token}`;
    }
    const init = { method, headers, body: body && JSON.stringify(body) };
    const response = await fetch(this.url + path, init);
    const text = await response.text();
    if (response.status !== 200) {
      throw new Error(`${method} ${path}: ${response.status} ${text}`);
    }
    return JSON.parse(text);
  }

  // An app's socket; it connects again by itself.
  async connect() {
    this.socket = io(this.url, {
      path: "/v1/updates",
      transports: ["websocket"],
      auth: { token: this.token, clientType: "user-scoped", appState: "active" },
      reconnectionDelay: 100,
      reconnectionDelayMax: 500,
    });
    this.socket.on("update", (update) => this.hear({ kind: update.body.t, ...update.body }));
    this.socket.on("ephemeral", (body) => this.hear({ kind: body.type, ...body }));
    await new Promise((resolve, reject) => {
      this.socket.once("connect", resolve);
      this.socket.once("connect_error", reject);
    });
  }

  hear(message) {
    this.heard.push(message);
    for (const wait of this.waiting) {
      wait();
    }
  }

  // The first message since `from` (an index of `heard`) that is as wanted.
  async hears(what, isWanted, patience = 60_000, from = 0) {
    return new Promise((resolve, reject) => {
      let next = from;
      let timer;
      const look = () => {
        while (next < this.heard.length) {
          const message = this.heard[next++];
          if (isWanted(message)) {
            clearTimeout(timer);
            this.waiting.delete(look);
            return resolve(message);
          }
        }
      };
      timer = setTimeout(() => {
        this.waiting.delete(look);
        const kinds = this.heard.slice(from).map((message) => message.kind);
        reject(new Error(`waited in vain for ${what}; heard: ${kinds.join(" ")}`));
      }, patience);
      this.waiting.add(look);
      look();
    });
  }

  // Approves the terminal that has shown this key.
  async approve(shownKey, inNewForm) {
    const publicKey = bytesOfUrl(shownKey);
    const query = encodeURIComponent(base64(publicKey));
    const status = await this.call("GET", `/v1/auth/request/status?publicKey=${query}`);
    if (status.status !== "pending" || (inNewForm && !status.supportsV2)) {
      throw new Error(`the request is ${JSON.stringify(status)}`);
    }
    const plain = inNewForm ? Buffer.concat([Buffer.of(0), this.content.publicKey]) : this.seed;
    const response = base64(sealFor(publicKey, plain));
    await this.call("POST", "/v1/auth/response", { publicKey: base64(publicKey), response });
  }

  // How a machine's or a session's payloads are encrypted.
  cipherOf({ dataEncryptionKey }) {
    if (!dataEncryptionKey) {
      return secretCipher(this.seed);
    }
    const sealed = bytes(dataEncryptionKey);
    return keyCipher(openSealed(sealed.slice(1), this.content.secretKey));
  }

  // Calls a method of a machine or a session.
  async rpc(target, method, params, patience = 20_000) {
    const cipher = this.cipherOf(target);
    const request = { method: `${target.id}:${method}`, params: cipher.encrypt(params) };
    const answer = await this.socket.timeout(patience).emitWithAck("rpc-call", request);
    if (!answer.ok) {
      throw new Error(`${method}: ${answer.error}`);
    }
    return cipher.decrypt(answer.result);
  }

  close() {
    this.socket?.disconnect();
  }
}
