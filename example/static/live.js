// live keeps a connection to the hub and a subscription of one group. It calls
//   subscribed()     after each successful subscription: load the state now
//   changed(data)    for each message of the group
//   state(name)      "connecting", "live" or "offline"
const pingEvery = 5_000; // ms; a ping has as long to be answered, by whatever message
const opening = 10_000; // ms that a connection may take to open
const slowest = 20_000; // ms between two attempts

export function live(path, group, { subscribed, changed, state }) {
  const url = new URL(path, location.href.replace(/^http/, "ws"));
  let socket, pinging, dead, retry, attempts = 0, id = 0;

  function connect() {
    if (socket) socket.onclose = null; // it may still be closing
    stop();
    state("connecting");
    socket = new WebSocket(url);
    dead = setTimeout(abandon, opening);
    socket.onopen = () => {
      request("subscribe", { group });
      pinging = setInterval(ping, pingEvery);
    };
    socket.onmessage = ({ data }) => receive(JSON.parse(data));
    socket.onclose = lost;
  }

  function receive(message) {
    dead = clearTimeout(dead);
    if (message.type === "subscribe" && !message.error) {
      attempts = 0;
      state("live");
      subscribed();
    } else if (message.type === "subscription-update" && message.data.group === group) {
      changed(message.data);
    } else if (message.error) {
      console.error(message.type, message.error);
      if (message.type === "subscribe") abandon(); // and ask again later
    }
  }

  function request(type, data) {
    socket.send(JSON.stringify({ type, id: ++id, data }));
  }

  function ping() {
    if (socket.readyState !== WebSocket.OPEN) return;
    request("ping");
    dead ??= setTimeout(abandon, pingEvery);
  }

  // abandon does not wait for the other end, which may be gone without a word.
  function abandon() {
    socket.onclose = socket.onmessage = null;
    socket.close();
    lost();
  }

  // Full jitter: pages that lost the server together do not return together.
  function lost() {
    stop();
    state("offline");
    const longest = Math.min(slowest, 1_000 * 2 ** attempts++);
    retry = setTimeout(connect, 500 + Math.random() * (longest - 500));
  }

  function stop() {
    clearTimeout(retry);
    clearInterval(pinging);
    dead = clearTimeout(dead);
  }

  addEventListener("online", () => {
    if (socket.readyState > WebSocket.OPEN) connect();
  });
  addEventListener("offline", () => {
    if (socket.readyState <= WebSocket.OPEN) abandon();
  });
  connect();
}
