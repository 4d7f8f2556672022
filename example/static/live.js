// live keeps a connection to the hub and a subscription of one group. It calls
//   subscribed()     after each successful subscription: load the state now
//   changed(data)    for each message of the group
//   state(name)      "connecting", "live" or "offline"
const pingEvery = 5_000; // ms; silence twice as long means that the connection is dead
const slowest = 20_000; // ms between two attempts

export function live(path, group, { subscribed, changed, state }) {
  const url = new URL(path, location.href.replace(/^http/, "ws"));
  let socket, pinging, retry, heard, attempts = 0, id = 0;

  function connect() {
    clearTimeout(retry);
    state("connecting");
    socket = new WebSocket(url);
    socket.onopen = () => {
      heard = Date.now();
      request("subscribe", { group });
      pinging = setInterval(ping, pingEvery);
    };
    socket.onmessage = ({ data }) => receive(JSON.parse(data));
    socket.onclose = lost;
  }

  function receive(message) {
    heard = Date.now();
    if (message.type === "subscribe" && !message.error) {
      attempts = 0;
      state("live");
      subscribed();
    } else if (message.type === "subscription-update" && message.data.group === group) {
      changed(message.data);
    } else if (message.error) {
      console.error(message.type, message.error);
    }
  }

  function request(type, data) {
    socket.send(JSON.stringify({ type, id: ++id, data }));
  }

  function ping() {
    if (Date.now() - heard > 2 * pingEvery) abandon(); // half open: close would wait for an answer
    else request("ping");
  }

  function abandon() {
    socket.onclose = socket.onmessage = null;
    socket.close();
    lost();
  }

  // Full jitter: pages that lost the server together do not return together.
  function lost() {
    clearInterval(pinging);
    state("offline");
    const longest = Math.min(slowest, 500 * 2 ** attempts++);
    retry = setTimeout(connect, 500 + Math.random() * (longest - 500));
  }

  addEventListener("online", () => {
    if (socket.readyState > WebSocket.OPEN) connect();
  });
  addEventListener("offline", () => {
    if (socket.readyState <= WebSocket.OPEN) abandon();
  });
  connect();
}
