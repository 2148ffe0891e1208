// The official client, telling its states: node pusher_js_states.cjs WS_URL API_URL APP_KEY CHANNEL
// The access token comes in TOKEN. Lines: {"state":…}, and {"state":"subscribed"} for each
// confirmation of the channel.
"use strict";
const Pusher = require("../interop/node_modules/pusher-js");

const [wsUrl, apiUrl, appKey, channelName] = process.argv.slice(2);
const socket = new URL(wsUrl);
const say = (state) => console.log(JSON.stringify({ state }));

const pusher = new Pusher(appKey, {
  cluster: "", // demanded, but wsHost wins
  wsHost: socket.hostname,
  wsPort: Number(socket.port),
  forceTLS: false,
  enabledTransports: ["ws"],
  channelAuthorization: {
    transport: "ajax",
    endpoint: `${apiUrl}/broadcasting/auth`,
    headers: { Authorization: process.env.TOKEN },
  },
});

pusher.connection.bind("state_change", ({ current }) => say(current));
pusher.subscribe(channelName).bind("pusher:subscription_succeeded", () => say("subscribed"));
