// The official client as a tail: node pusher_js_tail.cjs WS_URL API_URL APP_KEY CHANNEL
// The access token comes in TOKEN, trust in NODE_EXTRA_CA_CERTS. Every event of the channel, the
// confirmation among them, is one line: {"event":…,"data":…}. Refusals and errors go to stderr.
"use strict";
const Pusher = require("pusher-js");

const [wsUrl, apiUrl, appKey, channelName] = process.argv.slice(2);
const socket = new URL(wsUrl);
const secure = socket.protocol === "wss:";

const pusher = new Pusher(appKey, {
  cluster: "", // demanded, but wsHost wins
  wsHost: socket.hostname,
  wsPort: Number(socket.port),
  wssPort: Number(socket.port),
  forceTLS: secure,
  enabledTransports: ["ws", "wss"], // with TLS too it begins at "ws"
  channelAuthorization: {
    transport: "ajax",
    endpoint: `${apiUrl}/broadcasting/auth`,
    headers: { Authorization: process.env.TOKEN },
  },
});

pusher.connection.bind("error", (error) => console.error("connection", JSON.stringify(error)));
pusher.subscribe(channelName).bind_global((event, data) => {
  if (event === "pusher:subscription_error") console.error("refused", JSON.stringify(data));
  else console.log(JSON.stringify({ event, data }));
});
