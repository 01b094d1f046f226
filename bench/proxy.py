#!/usr/bin/env python3
"""Proxied GET of 1 KiB JSON through Hitchpost, next to the same target direct and through nginx.

Needs: wrk, nginx, a PostgreSQL that DATABASE_URL names, and a release build (cargo build --release).
Runs the three one after the other in every round, so that a change of the machine's speed hits all alike, and prints
medians, the ratio to nginx, the time to the first healthy answer, and resident memory.

    DATABASE_URL=postgresql://postgres@127.0.0.1/hitchpost_bench bench/proxy.py [--rounds 5] [--seconds 5]
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEY = str(uuid.uuid4())
TOKEN = "bench-api-key-value"
CATALOG = """
bench-target:
  display_name: Bench target
  auth_mode: API_KEY
  categories: [other]
  docs: https://example.com/docs
  proxy:
    base_url: http://127.0.0.1:{port}
    headers:
      authorization: Bearer ${{apiKey}}
  credentials:
    apiKey:
      type: string
      title: API key
      description: The key.
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.002)
    sys.exit(f"{url} did not answer within {seconds} s")


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def start_nginx(folder, target, proxy):
    (folder / "www").mkdir()
    payload = json.dumps({"data": "x" * (1024 - 12)})
    assert len(payload) == 1024
    (folder / "www" / "item.json").write_text(payload)
    config = folder / "nginx.conf"
    # Workers of a root-started nginx would otherwise not be allowed into the temporary folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"""
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  types {{ application/json json; }}
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream target {{ server 127.0.0.1:{target}; keepalive 128; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{target}; root {folder}/www; }}
  server {{
    listen 127.0.0.1:{proxy};
    location / {{
      proxy_pass http://target; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {TOKEN}";
    }}
  }}
}}
"""
    )
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)])
    wait_for(f"http://127.0.0.1:{proxy}/item.json", 10)
    return process


def start_hitchpost(folder, target, port, settings=None):
    (folder / "catalog.yaml").write_text(CATALOG.format(port=target))
    environment = {
        "PATH": os.environ["PATH"],
        "NANGO_DATABASE_URL": os.environ["DATABASE_URL"],
        "NANGO_DB_SCHEMA": "hitchpost_bench",
        "HITCHPOST_DATA_DIR": str(folder / "data"),
        "NANGO_ENCRYPTION_KEY": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "HITCHPOST_CATALOG": str(folder / "catalog.yaml"),
        "NANGO_OUTBOUND_URL_POLICY": '{"allowLoopback": true}',
        "NANGO_SECRET_KEY_DEV": KEY,
        "HITCHPOST_HOST": "127.0.0.1",
        "SERVER_PORT": str(port),
        "LOG_LEVEL": "warn",
        **(settings or {}),
    }
    started = time.monotonic()
    binary = os.environ.get("HITCHPOST_BIN", str(ROOT / "target/release/hitchpost"))
    log = open(folder / "hitchpost.log", "w")
    process = subprocess.Popen([binary], env=environment, stderr=log)
    wait_for(f"http://127.0.0.1:{port}/ready", 60)
    return process, time.monotonic() - started


def prepare_connection(base):
    try:
        call("POST", f"{base}/integrations", {"provider": "bench-target", "unique_key": "bench"})
    except urllib.error.HTTPError as error:
        if b"uniqueKey" not in error.read():
            raise
    connection = {
        "provider_config_key": "bench",
        "connection_id": "c1",
        "credentials": {"type": "API_KEY", "apiKey": TOKEN},
    }
    call("POST", f"{base}/connections", connection)


def resident_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def load(url, connections, seconds, headers):
    command = ["wrk", "-t1" if connections == 1 else "-t2", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    text = subprocess.run(command + [url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"{url} answered with errors:\n{text}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))


def measure(arguments, ways):
    for connections in (1, 16, 64):
        rates = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, (url, headers) in ways.items():
                rates[name].append(load(url, connections, arguments.seconds, headers))
        ratios = [ours / theirs for ours, theirs in zip(rates["hitchpost"], rates["nginx"])]
        cells = [f"{statistics.median(rates[name]):,.0f}" for name in ways]
        spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
        print(f"| {connections} | {' | '.join(cells)} | {statistics.median(ratios):.2f} | {spread} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    for program in ("wrk", "nginx"):
        if not shutil.which(program):
            sys.exit(f"{program} is not installed")
    if "DATABASE_URL" not in os.environ:
        sys.exit("DATABASE_URL is not set")
    folder = Path(tempfile.mkdtemp(prefix="hitchpost-bench-"))
    target, proxy, port = free_port(), free_port(), free_port()
    processes = []
    try:
        processes.append(start_nginx(folder, target, proxy))
        # The first start migrates; the second is the one that counts.
        first, _ = start_hitchpost(folder, target, port)
        first.send_signal(signal.SIGTERM)
        first.wait()
        server, ready_after = start_hitchpost(folder, target, port)
        processes.append(server)
        base = f"http://127.0.0.1:{port}"
        prepare_connection(base)
        # After its start the server compresses its assets on a thread that ends ten seconds later; only then is its memory free.
        time.sleep(20)
        idle = resident_mib(server.pid)
        headers = {"Authorization": f"Bearer {KEY}", "Provider-Config-Key": "bench", "Connection-Id": "c1"}
        ways = {
            "direct": (f"http://127.0.0.1:{target}/item.json", {}),
            "nginx": (f"http://127.0.0.1:{proxy}/item.json", {}),
            "hitchpost": (f"{base}/proxy/item.json", headers),
        }
        print(f"ready after {ready_after * 1000:.0f} ms on an existing database; idle {idle:.1f} MiB\n")
        print("| connections | direct, rps | nginx, rps | Hitchpost, rps | ratio to nginx | spread |")
        print("| --- | --- | --- | --- | --- | --- |")
        measure(arguments, ways)
        print(f"\nloaded {resident_mib(server.pid):.1f} MiB")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
