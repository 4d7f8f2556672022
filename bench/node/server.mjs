// A server on ws for Node.js. It prints its address and reads numbers from standard
// input: the number of messages to publish, or -1 for a garbage collection.
import { createInterface } from "node:readline";
import { WebSocketServer } from "ws";

const groups = Math.max(Number(process.argv[2]), 1);
const members = new Map(); // group name to its sockets

function serve(socket, request) {
  if (request.type === "ping") {
    socket.send(`{"id":${JSON.stringify(request.id)},"type":"pong"}`);
    return;
  }
  const group = request.data.group;
  if (!members.has(group)) members.set(group, new Set());
  members.get(group).add(socket);
  socket.on("close", () => members.get(group).delete(socket));
  socket.send(JSON.stringify({ id: request.id, type: "subscribe", data: { group } }));
}

function publish(group) {
  const fields = ["title"];
  const object = { id: 7, title: "x".repeat(80), updated_fields: fields };
  const data = { type: "update", group, object, updated_fields: fields };
  const text = JSON.stringify({ id: 5912345678901234, type: "subscription-update", data });
  for (const socket of members.get(group) ?? []) socket.send(text);
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("listening", () => console.log(`127.0.0.1:${server.address().port}`));
server.on("connection", (socket) => {
  socket.setMaxListeners(0);
  socket.on("error", () => {});
  socket.on("message", (text) => serve(socket, JSON.parse(text)));
});

let next = 0;
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const count = Number(line);
  if (count < 0) {
    globalThis.gc();
    console.log();
  }
  for (let i = 0; i < count; i++) publish(`group-${next++ % groups}`);
});
lines.on("close", () => process.exit());
