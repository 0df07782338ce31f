// The least that `dormouse-bench footprint` needs of a server, on the `ws` package: a WebSocket that
// greets and answers pings, and a broadcast through HTTP. Usage: npm ci && node ws-server.mjs [port]
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const sockets = new Set();

const http = createServer(async (request, response) => {
  if (request.method !== "POST" || request.url !== "/v1/websocket/broadcast") {
    response.writeHead(404).end();
    return;
  }
  let body = "";
  for await (const part of request) body += part;
  const { type, payload, timestamp } = JSON.parse(body).message;
  const frame = JSON.stringify({ event: type, data: payload, timestamp });
  for (const socket of sockets) socket.send(frame);
  const answer = JSON.stringify({ success: true, delivered: sockets.size });
  // The generator reads answers of a told length.
  response.setHeader("content-length", Buffer.byteLength(answer));
  response.end(answer);
});

new WebSocketServer({ server: http, path: "/v1/updates", perMessageDeflate: false }).on(
  "connection",
  (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("message", (text) => {
      if (JSON.parse(text).event === "ping") {
        socket.send(JSON.stringify({ event: "pong", data: { timestamp: Date.now() } }));
      }
    });
    socket.send(JSON.stringify({ event: "connected", data: {} }));
  },
);

http.listen({ port: Number(process.argv[2] ?? 0), host: "127.0.0.1", backlog: 1024 }, () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
});
