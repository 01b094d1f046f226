#!/usr/bin/env python3
"""Outgoing webhooks: does a dead receiver delay a living one?

Queues events for connections whose own webhook address never answers (10,000 unless told otherwise), and then measures how
long events of other connections take from the request that causes them to the living receiver. Prints the median, the 99th
percentile and the worst, before and while the dead one's queue is there.

Needs a PostgreSQL that DATABASE_URL names (its schema hitchpost_bench_webhooks is dropped) and a build of the server.

    DATABASE_URL=postgresql://postgres@127.0.0.1/hitchpost_bench HITCHPOST_BIN=target/release/hitchpost bench/webhooks.py [--dead 10000] [--live 200]
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from proxy import KEY, ROOT, call, free_port, wait_for

SCHEMA = "hitchpost_bench_webhooks"
CATALOG = "plain: {display_name: Plain, auth_mode: NONE, docs: https://docs.example.com/plain}\n"
POLICY = '{"allowLoopback":true,"blockPrivateIps":false}'

arrived = {}


class Living(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        arrived.setdefault(body["connectionId"], time.monotonic())
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def start_living():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Living)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def start_dead():
    """Accepts connections into its backlog and never reads them."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/"


def psql(statement):
    command = ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", os.environ["DATABASE_URL"], "-c", statement]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def start(folder, port):
    (folder / "catalog.yaml").write_text(CATALOG)
    environment = {
        "PATH": os.environ["PATH"],
        "NANGO_DATABASE_URL": os.environ["DATABASE_URL"],
        "NANGO_DB_SCHEMA": SCHEMA,
        "HITCHPOST_DATA_DIR": str(folder / "data"),
        "NANGO_ENCRYPTION_KEY": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "HITCHPOST_CATALOG": str(folder / "catalog.yaml"),
        "NANGO_SECRET_KEY_DEV": KEY,
        "NANGO_OUTBOUND_URL_POLICY": POLICY,
        "DEFAULT_RATE_LIMIT_PER_MIN": "1000000000",
        "HITCHPOST_HOST": "127.0.0.1",
        "SERVER_PORT": str(port),
        "LOG_LEVEL": "error",
    }
    binary = os.environ.get("HITCHPOST_BIN", str(ROOT / "target/release/hitchpost"))
    process = subprocess.Popen([binary], env=environment, stderr=open(folder / "hitchpost.log", "w"))
    wait_for(f"http://127.0.0.1:{port}/ready", 60)
    return process


def connect(base, connection_id, webhook_url):
    body = {
        "provider_config_key": "plain",
        "connection_id": connection_id,
        "credentials": {"type": "NONE"},
        "webhook_url_override": webhook_url,
    }
    call("POST", f"{base}/connections", body)


def measure(base, living, name, prefix, count):
    times = []
    for number in range(count):
        connection_id = f"{prefix}-{number}"
        began = time.monotonic()
        connect(base, connection_id, living)
        while connection_id not in arrived:
            if time.monotonic() - began > 30:
                sys.exit(f"{connection_id} did not arrive")
            time.sleep(0.0005)
        times.append((arrived[connection_id] - began) * 1000)
    times.sort()
    late = sum(1 for one in times if one >= 1000)
    print(
        f"| {name} | {statistics.median(times):.1f} ms | {times[int(len(times) * 0.99) - 1]:.1f} ms | {times[-1]:.1f} ms | {late} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dead", type=int, default=10_000, help="events for the receiver that never answers")
    parser.add_argument("--live", type=int, default=200, help="events measured in each row")
    arguments = parser.parse_args()
    psql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    living = start_living()
    listener, dead = start_dead()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        process = start(Path(folder), port)
        base = f"http://127.0.0.1:{port}"
        try:
            call("POST", f"{base}/integrations", {"provider": "plain", "unique_key": "plain"})
            print("| | median | 99 % | worst | over 1 s |\n| --- | --- | --- | --- | --- |")
            measure(base, living, "alone", "alone", arguments.live)
            began = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda number: connect(base, f"dead-{number}", dead), range(arguments.dead)))
            took = time.monotonic() - began
            waiting = psql(f"SELECT count(*) FROM {SCHEMA}.webhook_deliveries WHERE state = 'waiting'")
            measure(base, living, f"beside {waiting} for a dead one", "beside", arguments.live)
            print(f"\nQueueing {arguments.dead} took {took:.0f} s.")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
            listener.close()
            psql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


if __name__ == "__main__":
    main()
