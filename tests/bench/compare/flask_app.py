"""The tutorial's server in Flask, with a signature that is checked and copies that are dropped."""

import hashlib
import hmac
import json
import os
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, abort, jsonify, request

SECRET = os.environ["VOIPBIN_SECRET"].encode()
# How long an event is remembered, in seconds.
TTL = 3600

app = Flask(__name__)
background = ThreadPoolExecutor(max_workers=4)
lock = threading.Lock()
seen = OrderedDict()


@app.post("/voipbin/webhook")
def webhook():
    body = request.get_data()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    given = request.headers.get("X-VoIPBIN-Signature", "")
    if not hmac.compare_digest(given.encode(), expected.encode()):
        abort(401)
    try:
        event = json.loads(body)
    except ValueError:
        abort(400)
    if is_new(expected):
        background.submit(handle, event)
    return jsonify(status="received")


def is_new(signature):
    now = time.monotonic()
    with lock:
        while seen:
            oldest, at = next(iter(seen.items()))
            if now - at < TTL:
                break
            del seen[oldest]
        if signature in seen:
            return False
        seen[signature] = now
        return True


def handle(event):
    if event["type"] == "call_hangup":
        event["data"].get("hangup_reason")


def end_with_input():
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    import logging

    from werkzeug.serving import make_server

    # A line for each request would be most of its work.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=end_with_input, daemon=True).start()
    server.serve_forever()
