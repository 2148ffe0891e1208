// The official client as a tail: node pusher_js.cjs WS_URL AUTH_URL CHANNEL...
// Trust comes in NODE_EXTRA_CA_CERTS. One line an event.
"use strict";
const path = require("node:path");
const Pusher = require(path.join(__dirname, "../../interop/node_modules/pusher-js"));

const [wsUrl, authUrl, ...channels] = process.argv.slice(2);
const socket = new URL(wsUrl);

const pusher = new Pusher("key", {
  cluster: "", // demanded, but wsHost wins
  wsHost: socket.hostname,
  wsPort: Number(socket.port),
  wssPort: Number(socket.port),
  forceTLS: socket.protocol === "wss:",
  enabledTransports: ["ws", "wss"],
  enableStats: false,
  channelAuthorization: { transport: "ajax", endpoint: authUrl },
});

for (const channel of channels) {
  pusher.subscribe(channel).bind_global((event, data) => {
    if (event === "pusher:subscription_error") console.error(JSON.stringify(data));
    else if (!event.startsWith("pusher:"))
      process.stdout.write(JSON.stringify({ event, channel, data }) + "\n");
  });
}
