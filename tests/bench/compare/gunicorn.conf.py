"""Flask behind gunicorn: one process for the one core, with threads that keep connections open."""

import os
import signal
import sys
import threading

bind = "127.0.0.1:0"
wsgi_app = "flask_app:app"
worker_class = "gthread"
workers = 1
threads = 8
keepalive = 75
loglevel = "error"


def when_ready(server):
    threading.Thread(target=end_with_input, daemon=True).start()


def post_worker_init(worker):
    host, port = worker.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)


def end_with_input():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
