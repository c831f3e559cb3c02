// The tutorial's server in Express, with a signature that is checked and copies that are dropped.
import express from "express";
import { PATH, announce, receive, verified } from "./webhook.mjs";

const app = express();

app.use(
  express.json({
    limit: "1mb",
    verify: (request, _response, body) => {
      request.signature = verified(request.headers["x-voipbin-signature"], body);
    },
  }),
);

app.post(PATH, (request, response) => {
  if (request.signature === undefined) {
    response.sendStatus(401);
    return;
  }
  receive(request.signature, request.body);
  response.status(200).json({ status: "received" });
});

const server = app.listen(0, "127.0.0.1", () => announce(server));
