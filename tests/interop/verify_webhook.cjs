// Verifies a request by the reference library of Standard Webhooks; JSON on standard input.
"use strict";
const { Webhook } = require("standardwebhooks");

const request = JSON.parse(require("fs").readFileSync(0, "utf8"));
const body = Buffer.from(request.body, "base64").toString("utf8");
console.log(JSON.stringify(new Webhook(request.secret).verify(body, request.headers)));
