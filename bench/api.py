#!/usr/bin/env python3
"""The API under load: one connection read, connect sessions opened, the provider list, and the list of connections over
1,000 and over 1,000,000 rows.

Needs: wrk, psql, a PostgreSQL that DATABASE_URL names (its schema hitchpost_bench_api is dropped), and a release build.
Rows are added until there are as many as each size wants; --reuse keeps those of the run before.

    DATABASE_URL=postgresql://postgres@127.0.0.1/hitchpost_bench bench/api.py [--sizes 1000 1000000] [--seconds 3] [--only list]
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

from proxy import KEY, ROOT, call, free_port, resident_mib, wait_for

SCHEMA = "hitchpost_bench_api"
INTEGRATIONS = 20
# Every connection has an end user; an organization has 50 of them, a customer tag 10, a plan half of all.
ROWS = """
WITH env AS (SELECT id FROM environments WHERE name = 'dev'),
made AS (SELECT i FROM generate_series({first}::int, {last}::int) AS i),
users AS (
    INSERT INTO end_users (environment_id, end_user_id, email, display_name, organization_id, tags, created_at, updated_at)
    SELECT env.id, 'user-' || i, 'user' || i || '@example.com', 'Person ' || i, 'org-' || (i / 50), '{{}}', now(), now()
    FROM made, env RETURNING id, substr(end_user_id, 6)::int AS i)
INSERT INTO connections (environment_id, integration_id, connection_id, tags, end_user_id, created_at, updated_at)
SELECT env.id, integrations.id, 'conn-' || lpad(users.i::text, 7, '0'),
    jsonb_build_object('plan', CASE WHEN users.i % 2 = 0 THEN 'pro' ELSE 'free' END, 'customer', 'c' || (users.i / 10)),
    users.id, now() - interval '1 year' + users.i * interval '10 seconds', now()
FROM users, env JOIN integrations ON integrations.environment_id = env.id
WHERE integrations.unique_key = 'bench-' || (users.i % {integrations})
"""


def catalog(entries):
    entry = """
bench-{number}:
  display_name: Bench {number}
  auth_mode: API_KEY
  categories: [other, productivity]
  docs: https://docs.example.com/bench-{number}
  proxy:
    base_url: https://${{connectionConfig.subdomain}}.bench-{number}.example.com/api
    headers:
      authorization: Bearer ${{apiKey}}
      x-version: ${{connectionConfig.version}} || 2026-01-01
    retry:
      after: [retry-after]
    verification:
      method: GET
      endpoints: [/v1/me]
  connection_config:
    subdomain: {{type: string, title: Subdomain, description: The first part of your address, example: acme, pattern: '^[a-z0-9-]+$', order: 1}}
    version: {{type: string, title: Version, description: The version of the API, optional: true, order: 2}}
  credentials:
    apiKey: {{type: string, title: API key, description: The key of your account, secret: true}}
"""
    plain = """
plain:
  display_name: Plain
  auth_mode: API_KEY
  docs: https://docs.example.com/plain
  credentials: {apiKey: {type: string, title: API key, description: The key}}
"""
    return plain + "".join(entry.format(number=number) for number in range(entries - 1))


def psql(statement):
    command = ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", os.environ["DATABASE_URL"]]
    text = f"SET search_path TO {SCHEMA}, public;\n{statement}"
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()


def start(folder, port):
    (folder / "catalog.yaml").write_text(catalog(1000))
    environment = {
        "PATH": os.environ["PATH"],
        "NANGO_DATABASE_URL": os.environ["DATABASE_URL"],
        "NANGO_DB_SCHEMA": SCHEMA,
        "HITCHPOST_DATA_DIR": str(folder / "data"),
        "NANGO_ENCRYPTION_KEY": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "HITCHPOST_CATALOG": str(folder / "catalog.yaml"),
        "NANGO_SECRET_KEY_DEV": KEY,
        # Counted as always, and never reached.
        "DEFAULT_RATE_LIMIT_PER_MIN": "1000000000",
        "HITCHPOST_HOST": "127.0.0.1",
        "SERVER_PORT": str(port),
        "LOG_LEVEL": "warn",
    }
    binary = os.environ.get("HITCHPOST_BIN", str(ROOT / "target/release/hitchpost"))
    process = subprocess.Popen([binary], env=environment, stderr=open(folder / "hitchpost.log", "w"))
    wait_for(f"http://127.0.0.1:{port}/ready", 60)
    return process


def wrk(url, connections, seconds, headers=None, script=None):
    """Requests a second, and the median and 99th percentile of the latency in milliseconds."""
    command = ["wrk", "-t1" if connections == 1 else "-t2", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-H", f"Authorization: Bearer {KEY}"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", str(script)]
    text = subprocess.run(command + [url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"{url} answered with errors:\n{text}")
    percentile = {mark: in_ms(value) for mark, value in re.findall(r"(50|99)%\s+([\d.]+\w+)", text)}
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), percentile["50"], percentile["99"]


def in_ms(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def median(rounds, measure):
    return [statistics.median(values) for values in zip(*(measure() for _ in range(rounds)))]


def show_load(base, folder, arguments):
    post = folder / "session.lua"
    body = json.dumps({"end_user": {"id": "u1", "email": "u1@example.com"}, "allowed_integrations": ["bench-0"]})
    post.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n"
    )
    listed = f"{base}/providers"
    cases = [
        ("`GET /connections/:id`", f"{base}/connections/read-me?provider_config_key=plain", {}, None),
        ("`POST /connect/sessions`", f"{base}/connect/sessions", {}, post),
        ("`GET /providers`, 1,000 entries", listed, {}, None),
        ("the same, gzip", listed, {"Accept-Encoding": "gzip"}, None),
        ("the same, br", listed, {"Accept-Encoding": "br"}, None),
    ]
    print("| request | connections | requests/s | median, ms | 99th, ms |\n| --- | --- | --- | --- | --- |")
    for name, url, headers, script in cases:
        for connections in (1, 16):
            rate, middle, last = median(
                arguments.rounds, lambda: wrk(url, connections, arguments.seconds, headers, script)
            )
            print(f"| {name} | {connections} | {rate:,.0f} | {middle:.2f} | {last:.2f} |", flush=True)


def list_cases(rows):
    """Name and query; ids are of rows that exist in either size."""
    deep = rows * 9 // 10 // 100
    return [
        ("first page", {}),
        ("tenth page", {"page": 9}),
        ("a page at nine tenths", {"page": deep}),
        ("one integration", {"integrationId": "bench-7"}),
        ("three integrations", {"integrationId": "bench-1,bench-2,bench-3"}),
        ("one connection id", {"connectionId": "conn-0000123"}),
        ("search: one id", {"search": "conn-0000123"}),
        ("search: one e-mail", {"search": "user123@exam"}),
        ("search: matches all", {"search": "example"}),
        ("search: matches nothing", {"search": "zzz-nothing"}),
        ("tag of ten", {"tags[customer]": "c12"}),
        ("tag of half", {"tags[plan]": "pro"}),
        ("end user", {"endUserId": "user-123"}),
        ("organization of 50", {"endUserOrganizationId": "org-3"}),
        ("integration and tag", {"integrationId": "bench-3", "tags[customer]": "c12"}),
    ]


def measure_list(base, rows, arguments):
    found = {}
    for name, query in list_cases(rows):
        url = f"{base}/connections?" + urllib.parse.urlencode({"limit": 100, **query})
        count = len(json.loads(call("GET", url))["connections"])
        _, middle, last = median(arguments.rounds, lambda: wrk(url, 1, arguments.seconds))
        found[name] = (count, middle, last)
    return found


def grow(rows):
    step = 100_000
    known = int(psql("SELECT count(*) FROM connections WHERE connection_id LIKE 'conn-%'"))
    for first in range(known + 1, rows + 1, step):
        psql(ROWS.format(first=first, last=min(first + step - 1, rows), integrations=INTEGRATIONS))
    psql("VACUUM ANALYZE connections; ")
    psql("VACUUM ANALYZE end_users;")


def show_lists(base, arguments):
    measured = []
    for rows in arguments.sizes:
        grow(rows)
        measured.append((rows, measure_list(base, rows, arguments)))
    heads = [f"{rows:,} rows: found | median, ms | 99th, ms" for rows, _ in measured]
    print(f"\n| list | {' | '.join(heads)} | ratio |\n|{' --- |' * (3 * len(measured) + 2)}")
    for name, _ in list_cases(1000):
        cells = [f"{found[name][0]} | {found[name][1]:.2f} | {found[name][2]:.2f}" for _, found in measured]
        ratio = measured[-1][1][name][1] / measured[0][1][name][1]
        print(f"| {name} | {' | '.join(cells)} | {ratio:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 1_000_000])
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", choices=["load", "list"])
    arguments = parser.parse_args()
    for program in ("wrk", "psql"):
        if not shutil.which(program):
            sys.exit(f"{program} is not installed")
    if "DATABASE_URL" not in os.environ:
        sys.exit("DATABASE_URL is not set")
    if not arguments.reuse:
        psql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    folder = Path(tempfile.mkdtemp(prefix="hitchpost-bench-"))
    port = free_port()
    server = start(folder, port)
    try:
        base = f"http://127.0.0.1:{port}"
        if not arguments.reuse:
            for name in ["plain", *(f"bench-{number}" for number in range(INTEGRATIONS))]:
                call("POST", f"{base}/integrations", {"provider": name, "unique_key": name})
        credentials = {"type": "API_KEY", "apiKey": "bench-key"}
        read_me = {"provider_config_key": "plain", "connection_id": "read-me", "credentials": credentials}
        call("POST", f"{base}/connections", read_me)
        if arguments.only != "list":
            show_load(base, folder, arguments)
        if arguments.only != "load":
            show_lists(base, arguments)
        print(f"\nresident {resident_mib(server.pid):.1f} MiB")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
