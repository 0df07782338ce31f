// The constructions in which the Happy clients encrypt; the server never looks into them.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import nacl from "tweetnacl";

export const base64 = (bytes) => Buffer.from(bytes).toString("base64");
export const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const bytesOfUrl = (text) => new Uint8Array(Buffer.from(text, "base64url"));
export { bytesOfUrl };

// For whoever holds the other half of a public key: ephemeral key, nonce, box.
export function sealFor(publicKey, plain) {
  const pair = nacl.box.keyPair();
  const nonce = randomBytes(nacl.box.nonceLength);
  const box = nacl.box(Uint8Array.from(plain), nonce, publicKey, pair.secretKey);
  return Buffer.concat([pair.publicKey, nonce, box]);
}

export function openSealed(sealed, secretKey) {
  const [key, nonce, box] = [sealed.slice(0, 32), sealed.slice(32, 56), sealed.slice(56)];
  const plain = nacl.box.open(box, nonce, key, secretKey);
  if (!plain) {
    throw new Error("a sealed box cannot be opened");
  }
  return plain;
}

// Payloads under a shared secret of 32 bytes: the older form.
export function secretCipher(secret) {
  return {
    encrypt(value) {
      const nonce = randomBytes(nacl.secretbox.nonceLength);
      const text = new TextEncoder().encode(JSON.stringify(value));
      return base64(Buffer.concat([nonce, nacl.secretbox(text, nonce, secret)]));
    },
    decrypt(text) {
      const all = bytes(text);
      const plain = nacl.secretbox.open(all.slice(24), all.slice(0, 24), secret);
      if (!plain) {
        throw new Error("a secret box cannot be opened");
      }
      return JSON.parse(new TextDecoder().decode(plain));
    },
  };
}

// Payloads under a data key: the newer form.
export function keyCipher(key) {
  return {
    encrypt(value) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      const body = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()]);
      return base64(Buffer.concat([Buffer.of(0), nonce, body, cipher.getAuthTag()]));
    },
    decrypt(text) {
      const all = Buffer.from(text, "base64");
      const decipher = createDecipheriv("aes-256-gcm", key, all.subarray(1, 13));
      decipher.setAuthTag(all.subarray(-16));
      const plain = Buffer.concat([decipher.update(all.subarray(13, -16)), decipher.final()]);
      return JSON.parse(plain.toString());
    },
  };
}
