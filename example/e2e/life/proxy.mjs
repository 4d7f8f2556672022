// A proxy to a server, which can break, refuse or never answer WebSockets.
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export class Proxy {
  #sockets = new Set(); // of WebSockets
  #mode = "forward"; // what happens to new WebSockets
  #rate;

  // rate: bytes a second from the server.
  constructor({ rate } = {}) {
    this.#rate = rate;
  }

  async start(server) {
    this.listener = createServer((near) => {
      near.on("error", () => {});
      near.once("data", (head) => this.#onRequest(server, near, head));
    });
    await new Promise((resolve) => this.listener.listen(0, "127.0.0.1", resolve));
    this.address = `127.0.0.1:${this.listener.address().port}`;
  }

  #onRequest(server, near, head) {
    near.pause();
    if (/^GET \/ws/.test(head)) {
      this.#sockets.add(near);
      near.on("close", () => this.#sockets.delete(near));
      if (this.#mode === "refuse") return near.resetAndDestroy();
      if (this.#mode === "hang") return near.resume();
    }
    const [host, port] = server.address.split(":");
    const far = connect(port, host);
    far.on("error", () => near.destroy()).on("close", () => near.destroy());
    near.on("close", () => far.destroy());
    far.write(head);
    near.pipe(far);
    if (this.#rate) pump(far, near, this.#rate).catch(() => near.destroy());
    else far.pipe(near);
  }

  // Resets all WebSockets. The mode of new ones: "refuse", "hang" or "forward".
  break(mode) {
    this.#mode = mode;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  // Handles new WebSockets in this mode. The others stay as they are.
  set(mode) {
    this.#mode = mode;
  }

  stop() {
    this.break("refuse");
    this.listener.close();
    this.listener.closeAllConnections?.();
  }
}

async function pump(from, to, rate) {
  const size = rate / 20;
  for await (const chunk of from) {
    for (let at = 0; at < chunk.length; at += size) {
      to.write(chunk.subarray(at, at + size));
      await sleep(50);
    }
  }
}
