// A webhook on node:http alone.
import { createServer } from "node:http";
import { PATH, announce, receive, verified } from "./webhook.mjs";

const ANSWER = JSON.stringify({ status: "received" });

const server = createServer((request, response) => {
  if (request.url !== PATH) {
    response.writeHead(404).end();
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    const signature = verified(request.headers["x-voipbin-signature"], body);
    if (signature === undefined) {
      response.writeHead(401).end();
      return;
    }
    let event;
    try {
      event = JSON.parse(body);
    } catch {
      response.writeHead(400).end();
      return;
    }
    receive(signature, event);
    response.writeHead(200, {
      "Content-Type": "application/json",
      "Content-Length": ANSWER.length,
    });
    response.end(ANSWER);
  });
});

server.listen(0, "127.0.0.1", () => announce(server));
