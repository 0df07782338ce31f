// A program that speaks the Agent Client Protocol on its standard streams and needs no model: it
// answers each prompt with the prompt's own words.
import { createInterface } from "node:readline";

const write = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) {
    continue;
  }
  const { id, method, params } = JSON.parse(line);
  if (method === "initialize") {
    const result = { protocolVersion: 1, agentCapabilities: {}, authMethods: [] };
    write({ id, result });
  } else if (method === "session/new") {
    write({ id, result: { sessionId: "stub" } });
  } else if (method === "session/prompt") {
    const said = params.prompt.map((part) => part.text ?? "").join("");
    const content = { type: "text", text: `stub heard: ${said}` };
    const update = { sessionUpdate: "agent_message_chunk", content };
    write({ method: "session/update", params: { sessionId: params.sessionId, update } });
    write({ id, result: { stopReason: "end_turn" } });
  } else if (id !== undefined) {
    write({ id, result: {} });
  }
}
