#!/usr/bin/env python3
"""The log page over many operations: the newest page under each filter, over generated rows in 15 daily partitions.

Needs: psql, a PostgreSQL that DATABASE_URL names (its schema hitchpost_bench_logs is dropped unless --reuse), and a build.

    DATABASE_URL=postgresql://postgres@127.0.0.1/hitchpost_bench bench/logs.py [--rows 10000000] [--rounds 5] [--reuse]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from proxy import KEY, ROOT, free_port, wait_for

SCHEMA = "hitchpost_bench_logs"
DAYS = 15
# Of a hundred operations 90 are proxied calls, 5 of them failed; 20 integrations, 10,000 connections. One in 100,000 has
# a word of its own. The day before yesterday one integration was down for an hour around noon. A day is filled before it
# becomes a partition, so that its indexes are made in one go.
ROWS = """
SET maintenance_work_mem = '256MB';
DROP TABLE IF EXISTS {table}_{day:%Y%m%d};
CREATE TABLE {table}_{day:%Y%m%d} (LIKE log_operations INCLUDING DEFAULTS);
WITH env AS (SELECT id, account_id FROM environments WHERE name = 'dev'),
made AS (
    SELECT i, env.id AS environment, env.account_id AS account,
        timestamptz '{day} 00:00:00+00' + i * interval '86399 seconds' / {count} AS made_at,
        CASE WHEN {is_bulk} THEN 'proxy:call'
             ELSE (ARRAY['proxy:call', 'auth:create_connection', 'auth:refresh_token', 'webhook:forward'])[1 + i % 4] END AS kind,
        CASE WHEN {is_bulk} THEN 'success'
             ELSE (ARRAY['failed', 'success', 'success', 'failed', 'cancelled'])[1 + i % 5] END AS state,
        'acme-' || i % 20 AS integration, 'cust-' || i % 10000 AS connection, 'item' || i % 5000 AS item
    FROM generate_series(1, {count}) AS i, env)
INSERT INTO {table}_{day:%Y%m%d} (id, created_at, is_bulk, account_id, environment_id, kind, state, message, updated_at, started_at,
    ended_at, data, messages, terms)
SELECT floor(extract(epoch FROM made_at) * 1000)::bigint || '_' || lpad(i::text, 8, 'a'),
    date_trunc('milliseconds', made_at), {is_bulk}, account, environment, kind, state,
    'GET https://api.acme.example/v2/' || item || '?page=' || i % 30 || ' 200', made_at, made_at, made_at,
    jsonb_build_object('integrationName', integration, 'connectionName', connection, 'providerName', 'acme',
        'environmentName', 'dev', 'accountName', 'Bench', 'durationMs', i % 900),
    CASE WHEN {is_bulk} THEN jsonb_build_array(jsonb_build_object('message', 'GET', 'type', 'http', 'level', 'info')) END,
    array_to_tsvector(ARRAY['=e:' || environment, '=s:' || state, '=t:' || split_part(kind, ':', 1), '=k:' || kind,
        '=i:' || integration, '=c:' || connection, '=h:' || to_char(made_at AT TIME ZONE 'UTC', 'HH24'),
        'get', 'https', 'api', 'acme', 'example', 'v2', item, 'page', 'p' || i % 30, '200']
        || CASE WHEN i % 100000 = 7 THEN ARRAY['needle'] ELSE ARRAY[]::text[] END
        || CASE WHEN {age} = 2 AND date_part('hour', made_at AT TIME ZONE 'UTC') = 12 THEN ARRAY['outage'] ELSE ARRAY[]::text[] END)
FROM made;
ALTER TABLE {table} ATTACH PARTITION {table}_{day:%Y%m%d} FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00');
"""
FILTERS = [
    ("nothing", {}),
    ("the last hour", {"period": None}),
    ("state failed", {"states": ["failed"]}),
    ("state cancelled", {"states": ["cancelled"]}),
    ("a state nobody has", {"states": ["timeout"]}),
    ("type auth", {"types": ["auth"]}),
    ("types and states", {"types": ["auth:refresh_token", "webhook"], "states": ["failed", "cancelled"]}),
    ("an integration", {"integrations": ["acme-7"]}),
    ("three integrations that failed", {"integrations": ["acme-7", "acme-8", "acme-9"], "states": ["failed"]}),
    ("a connection", {"connections": ["cust-4711"]}),
    ("a connection nobody has", {"connections": ["nobody"]}),
    ("a connection's failures", {"connections": ["cust-4715"], "states": ["failed"]}),
    ("a frequent word", {"search": "acme"}),
    ("a rare word", {"search": "needle"}),
    ("two words", {"search": "item4711 page"}),
    ("a word nobody wrote", {"search": "haystack"}),
    ("two frequent words, never together", {"search": "p7 p8"}),
    ("an hour of trouble, two days ago", {"search": "outage"}),
]


def psql(statement):
    command = ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", os.environ["DATABASE_URL"]]
    text = f"SET search_path TO {SCHEMA}, public;\n{statement}"
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()


def start(folder, port):
    environment = {
        "PATH": os.environ["PATH"],
        "NANGO_DATABASE_URL": os.environ["DATABASE_URL"],
        "NANGO_DB_SCHEMA": SCHEMA,
        "HITCHPOST_DATA_DIR": str(folder / "data"),
        "NANGO_ENCRYPTION_KEY": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "NANGO_SECRET_KEY_DEV": KEY,
        "HITCHPOST_LOG_PROXY_SUCCESS_RETENTION_DAYS": str(DAYS),
        "NANGO_LOGS_ES_RETENTION_DAYS": str(DAYS + 1),
        "HITCHPOST_LOGS_MAX_SIZE": "500gb",
        "HITCHPOST_HOST": "127.0.0.1",
        "SERVER_PORT": str(port),
        "LOG_LEVEL": "warn",
    }
    binary = os.environ.get("HITCHPOST_BIN", str(ROOT / "target/release/hitchpost"))
    process = subprocess.Popen([binary], env=environment, stderr=open(folder / "hitchpost.log", "w"))
    wait_for(f"http://127.0.0.1:{port}/ready", 60)
    return process


def fill(rows):
    from datetime import datetime, timedelta, timezone

    today = datetime.now(timezone.utc).date()
    per_day = rows // DAYS
    for age in reversed(range(DAYS)):
        day = today - timedelta(days=age)
        for table, is_bulk, count in (
            ("log_operations_bulk", "true", per_day * 85 // 100),
            ("log_operations_kept", "false", per_day * 15 // 100),
        ):
            psql(ROWS.format(table=table, day=day, next=day + timedelta(days=1), is_bulk=is_bulk, count=count, age=age))
        print(f"  {day}", file=sys.stderr)
    print("  vacuum", file=sys.stderr)
    psql("VACUUM ANALYZE log_operations")


def ask(base, body):
    if body.get("period", 0) is None:
        now = time.time()
        iso = lambda seconds: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))
        body = {"period": {"from": iso(now - 3600), "to": iso(now)}}
    request = urllib.request.Request(
        f"{base}/api/v1/logs/operations?env=dev",
        data=json.dumps({"limit": 25, **body}).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    began = time.perf_counter()
    answer = json.load(urllib.request.urlopen(request))
    return (time.perf_counter() - began) * 1000, answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reuse", action="store_true")
    arguments = parser.parse_args()
    if not arguments.reuse:
        psql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    folder, port = Path(tempfile.mkdtemp()), free_port()
    process = start(folder, port)
    try:
        if not arguments.reuse:
            fill(arguments.rows)
        count = psql("SELECT sum(n_live_tup)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'log_operations_%' "
                     f"AND schemaname = '{SCHEMA}'")
        print(f"{int(count):,} operations\n\n| filter | found | median ms | slowest ms |\n| --- | --- | --- | --- |")
        for name, body in FILTERS:
            answers = [ask(f"http://127.0.0.1:{port}", body) for _ in range(arguments.rounds)]
            times, found = [time for time, _ in answers], answers[0][1]["pagination"]["total"]
            print(f"| {name} | {found} | {statistics.median(times):.0f} | {max(times):.0f} |", flush=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


if __name__ == "__main__":
    main()
