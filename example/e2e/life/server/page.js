// Shows a list and the connection. Records what it shows and what the browser tells it.
import Rohrpost from "/rohrpost/rohrpost.js";

const query = new URLSearchParams(location.search);
const element = (id) => document.getElementById(id);
const log = (window.log = []);

function record(what, text = "") {
  log.push({ at: Date.now(), what, text: String(text) });
}

function show(id, text) {
  if (element(id).textContent === text) return;
  element(id).textContent = text;
  record(id, text);
}

class RecordedSocket extends WebSocket {
  constructor(url) {
    super(url);
    record("attempt", url);
    this.addEventListener("close", ({ code, reason }) => show("close", `${code} ${reason}`));
  }
}

for (const type of ["online", "offline"]) window.addEventListener(type, () => record(type));
window.addEventListener("pageshow", ({ persisted }) => persisted && record("restored"));
document.addEventListener("visibilitychange", () => record(document.hidden ? "hidden" : "visible"));

const hub = (window.hub = new Rohrpost(query.get("hub") ?? "/ws/", {
  WebSocket: RecordedSocket,
  reconnectDelay: { min: Number(query.get("min") ?? 500), max: Number(query.get("max") ?? 4_000) },
}));
if (query.has("pagehide")) {
  window.addEventListener("pagehide", () => hub.disconnect());
  window.addEventListener("pageshow", ({ persisted }) => persisted && hub.connect());
}
hub.on("error", ({ code, message }) => {
  show("error", `${code}: ${message}`);
  if (code === "unreachable") element("banner").hidden = false;
});
hub.on("status", showStatus);
showStatus(hub.status);

function showStatus(status) {
  show("status", status);
  element("banner").hidden = status !== "stale";
  if (status === "live") show("error", "");
}

const watch = hub.watch(query.get("group") ?? "list", { key: "id" });
watch.subscribe((items) => {
  if (watch.status === "connecting") return;
  show("count", `${items.length} items`);
  show("newest", items.at(-1)?.title.split(" .")[0] ?? "");
});

element("send").onsubmit = async (event) => {
  event.preventDefault();
  const size = parseInt(event.submitter.textContent.slice(5)) * 1000;
  try {
    show("answer", `The server read ${await hub.call("length", "x".repeat(size))} bytes`);
  } catch (error) {
    show("answer", `${error.code}: ${error.message}`);
  }
};
