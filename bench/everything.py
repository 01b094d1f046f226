#!/usr/bin/env python3
"""What seeing everything costs: proxied calls of a server that logs, counts and ships all of it, beside one that does nothing of it.

Both run on one database, in turns. The full one keeps every operation, is scraped each second, and ships to an Elasticsearch and
an OpenTelemetry collector that this script plays. Prints the rates, their ratio, and the processor time of a call. The database,
the sinks and wrk share the machine, so the rate also pays for what would run elsewhere.

    DATABASE_URL=postgresql://postgres@127.0.0.1/hitchpost_bench bench/everything.py [--rounds 7] [--seconds 3] [--connections 64]
"""

import argparse
import os
import shutil
import signal
import statistics
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import proxy

TICKS = os.sysconf("SC_CLK_TCK")


class Sink(BaseHTTPRequestHandler):
    """Takes whatever is shipped."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b'{"errors":false,"items":[]}' if "bulk" in self.path else b"{}"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def log_message(self, *_):
        pass


def start_sink():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def start_server(folder, name, target, settings):
    home, port = folder / name, proxy.free_port()
    home.mkdir()
    # Two servers cannot both have the Connect UI's usual port.
    settings = {"FLAG_SERVE_CONNECT_UI": "false", **settings}
    process, _ = proxy.start_hitchpost(home, target, port, settings)
    return process, f"http://127.0.0.1:{port}"


def scrape(port):
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()
        except OSError:
            pass
        time.sleep(1)


def processor_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(process, base, arguments):
    headers = {"Authorization": f"Bearer {proxy.KEY}", "Provider-Config-Key": "bench", "Connection-Id": "c1"}
    before = processor_seconds(process)
    rate = proxy.load(f"{base}/proxy/item.json", arguments.connections, arguments.seconds, headers)
    return rate, (processor_seconds(process) - before) / (rate * arguments.seconds) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hitchpost-bench-"))
    target, sink, metrics = proxy.free_port(), start_sink(), proxy.free_port()
    everything = {
        "HITCHPOST_LOG_PROXY_SUCCESS_PCT": "100",
        "HITCHPOST_METRICS_PORT": str(metrics),
        "NANGO_LOGS_ES_URL": sink,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink,
        "HITCHPOST_PROXY_TRACE_HEADERS": "true",
    }
    processes = []
    try:
        processes.append(proxy.start_nginx(folder, target, proxy.free_port()))
        servers = {
            "nothing": start_server(folder, "nothing", target, {"NANGO_LOGS_ENABLED": "false"}),
            "everything": start_server(folder, "everything", target, everything),
        }
        processes += [process for process, _ in servers.values()]
        threading.Thread(target=scrape, args=(metrics,), daemon=True).start()
        proxy.prepare_connection(servers["nothing"][1])
        seen = {name: [] for name in servers}
        for _ in range(arguments.rounds):
            for name, (process, base) in servers.items():
                seen[name].append(measure(process, base, arguments))
        print("| | calls per second | processor time of a call, µs |\n| --- | --- | --- |")
        for name, rounds in seen.items():
            rate, micros = (statistics.median(values) for values in zip(*rounds))
            print(f"| {name} | {rate:,.0f} | {micros:.1f} |")
        ratios = [full[0] / bare[0] for full, bare in zip(seen["everything"], seen["nothing"])]
        print(f"\nratio of the rates: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
