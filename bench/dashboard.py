#!/usr/bin/env python3
"""Every page of the dashboard over 100,000 connections of 1,000 integrations, a month of counted calls, 200,000 operations of
the log, and 100,000 events of the audit trail: the time from asking to the last byte, on one kept connection.

Needs: psql, a PostgreSQL that DATABASE_URL names (its schema hitchpost_bench_dashboard is dropped unless --reuse), and a build.

    DATABASE_URL=postgresql://postgres@127.0.0.1/hitchpost_bench bench/dashboard.py [--rounds 15] [--reuse] [--only health]
"""

import argparse
import http.client
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from proxy import KEY, ROOT, free_port, wait_for

SCHEMA = "hitchpost_bench_dashboard"
INTEGRATIONS, CONNECTIONS, OPERATIONS, EVENTS = 1_000, 100_000, 200_000, 100_000
CATALOG = """
acme:
  display_name: Acme
  auth_mode: API_KEY
  docs: https://docs.example.com/acme
  proxy: {base_url: https://api.acme.example}
"""
THINGS = f"""
INSERT INTO integrations (environment_id, unique_key, provider, display_name, created_at, updated_at)
SELECT e.id, 'acme-' || lpad(i::text, 4, '0'), 'acme', 'Acme number ' || i, now() - interval '1 year', now()
FROM generate_series(1, {INTEGRATIONS}) AS i, environments e WHERE e.name = 'dev';
WITH env AS (SELECT id FROM environments WHERE name = 'dev'),
users AS (
    INSERT INTO end_users (environment_id, end_user_id, email, display_name, created_at, updated_at)
    SELECT env.id, 'user-' || i, 'user' || i || '@example.com', 'Person ' || i, now(), now()
    FROM generate_series(1, {CONNECTIONS}) AS i, env RETURNING id, substr(end_user_id, 6)::int AS i)
INSERT INTO connections (environment_id, integration_id, connection_id, tags, end_user_id, created_at, updated_at,
    last_refresh_failure, refresh_exhausted)
SELECT env.id, integrations.id, 'conn-' || lpad(users.i::text, 7, '0'), jsonb_build_object('plan', users.i % 3), users.id,
    now() - interval '30 days' + users.i * interval '25 seconds', now(),
    CASE WHEN users.i % 500 = 0 THEN now() - users.i * interval '1 second' END, users.i % 1000 = 0
FROM users, env JOIN integrations ON integrations.environment_id = env.id
WHERE integrations.unique_key = 'acme-' || lpad((1 + users.i % {INTEGRATIONS})::text, 4, '0');
INSERT INTO connection_errors (connection_id, type, log_id, created_at)
SELECT id, 'auth', '1785578400123_a8Kd03Lz', now() FROM connections WHERE last_refresh_failure IS NOT NULL;
DELETE FROM connection_counts;
INSERT INTO connection_counts (environment_id, counted_at, live)
SELECT e.id, now() - hours * interval '1 hour', {CONNECTIONS} - hours * 130
FROM generate_series(0, 719) AS hours, environments e WHERE e.name = 'dev';
INSERT INTO log_hours (environment_id, hour, kind, state, count, durations)
SELECT e.id, date_trunc('hour', now(), 'UTC') - hours * interval '1 hour', kind, state, 5000 + hours,
    ARRAY(SELECT (hours * n) % 97 FROM generate_series(1, 21) AS n)
FROM generate_series(0, 1000) AS hours, unnest(ARRAY['proxy:call', 'auth:refresh_token', 'auth:create_connection',
    'webhook:incoming', 'webhook:forward']) AS kind, unnest(ARRAY['success', 'failed', 'timeout', 'cancelled']) AS state,
    environments e WHERE e.name = 'dev';
INSERT INTO audit_events (id, occurred_at, account_id, environment_id, environment_name, actor, targets, context, outcome,
    resource, action, metadata)
SELECT gen_random_uuid(), now() - ({EVENTS} - i) * interval '5 minutes', e.account_id, e.id, 'dev',
    jsonb_build_object('type', 'user', 'id', (i % 20)::text, 'display', 'Person ' || i % 20),
    jsonb_build_array(jsonb_build_object('type', 'integration', 'id', (i % 1000)::text, 'display', 'acme-' || i % 1000)),
    '{{"ip": "192.0.2.1", "userAgent": "Mozilla/5.0"}}', CASE WHEN i % 1000 = 0 THEN 'failure' ELSE 'success' END,
    (ARRAY['integration', 'connection', 'environment'])[1 + i % 3], 'updated',
    jsonb_build_object('before', jsonb_build_object('name', i), 'after', jsonb_build_object('name', i + 1))
FROM generate_series(1, {EVENTS}) AS i, environments e WHERE e.name = 'dev';
"""
# Of ten operations nine are proxied calls; the other one failed.
DAY = """
CREATE TABLE IF NOT EXISTS {table}_{day:%Y%m%d} PARTITION OF {table} FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00');
INSERT INTO log_operations (id, created_at, is_bulk, account_id, environment_id, kind, state, message, updated_at, started_at,
    ended_at, data, terms)
SELECT floor(extract(epoch FROM made_at) * 1000)::bigint || '_' || lpad(i::text, 8, 'a'), date_trunc('milliseconds', made_at),
    {is_bulk}, e.account_id, e.id, '{kind}', '{state}', 'GET https://api.acme.example/v2/item' || i || ' 200', made_at, made_at,
    made_at, jsonb_build_object('integrationName', 'acme-' || i % 1000, 'connectionName', 'conn-' || i, 'providerName', 'acme'),
    array_to_tsvector(ARRAY['=e:' || e.id, '=s:{state}', '=t:' || split_part('{kind}', ':', 1), '=k:{kind}',
        '=i:acme-' || i % 1000, '=c:conn-' || i, 'get', 'https', 'api'])
FROM (SELECT i, timestamptz '{day} 00:00:00+00' + i * interval '3600 seconds' / {count} AS made_at
      FROM generate_series(1, {count}) AS i) AS made, environments e WHERE e.name = 'dev';
"""


def psql(statement):
    command = ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", os.environ["DATABASE_URL"]]
    text = f"SET search_path TO {SCHEMA}, public;\n{statement}"
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()


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
        "FLAG_AUTH_ENABLED": "false",
        "HITCHPOST_OPEN_DASHBOARD": "true",
        "HITCHPOST_HOST": "127.0.0.1",
        "SERVER_PORT": str(port),
        # Nothing but the pages asks the database meanwhile.
        "CRON_REFRESH_CONNECTIONS_EVERY_MIN": "0",
        "CRON_DELETE_OLD_DATA_EVERY_MIN": "0",
        "LOG_LEVEL": "warn",
    }
    binary = os.environ.get("HITCHPOST_BIN", str(ROOT / "target/release/hitchpost"))
    process = subprocess.Popen([binary], env=environment, stderr=open(folder / "hitchpost.log", "w"))
    wait_for(f"http://127.0.0.1:{port}/ready", 60)
    return process


def fill():
    psql(THINGS)
    today = datetime.now(timezone.utc).date()
    for age in range(10):
        day = today - timedelta(days=age)
        names = {"day": day, "next": day + timedelta(days=1)}
        for table, is_bulk, kind, state, count in (
            ("log_operations_bulk", "true", "proxy:call", "success", OPERATIONS * 9 // 100),
            ("log_operations_kept", "false", "auth:refresh_token", "failed", OPERATIONS // 100),
        ):
            psql(DAY.format(table=table, is_bulk=is_bulk, kind=kind, state=state, count=count, **names))
    psql("VACUUM ANALYZE")


def pages():
    connection = psql("SELECT max(id) FROM connections")
    operation = psql("SELECT id FROM log_operations ORDER BY created_at DESC LIMIT 1")
    return [
        ("home, 24 hours", "/env/dev"),
        ("home, 30 days", "/env/dev?period=30d"),
        ("getting started", "/env/dev/start"),
        ("integrations", "/env/dev/integrations"),
        ("an integration", "/env/dev/integrations/acme-0500"),
        ("catalog", "/env/dev/catalog"),
        ("catalog, searched", "/env/dev/catalog?q=acme"),
        ("a new integration", "/env/dev/catalog/acme"),
        ("provider editor", "/env/dev/provider-editor"),
        ("connections", "/env/dev/connections"),
        ("connections, searched", "/env/dev/connections?q=0099"),
        ("connections with errors", "/env/dev/connections?state=attention"),
        ("a connection", f"/env/dev/connections/{connection}"),
        ("a link for an end user", "/env/dev/connections/invite"),
        ("playground", "/env/dev/playground"),
        ("logs", "/env/dev/logs"),
        ("logs, failures of a day", "/env/dev/logs?state=failed&period=24h"),
        ("an operation", f"/env/dev/logs/{operation}"),
        ("webhooks", "/env/dev/webhooks"),
        ("API keys", "/env/dev/api-keys"),
        ("settings", "/env/dev/settings"),
        ("environments", "/settings/environments"),
        ("team", "/settings/team"),
        ("audit trail", "/settings/audit-trail"),
        ("audit trail, failures", "/settings/audit-trail?outcome=failure"),
        ("audit trail, a word nobody wrote", "/settings/audit-trail?text=haystack"),
        ("health", "/settings/health"),
    ]


def ask(connection, path):
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"{path} answered {answer.status}:\n{body[:2000].decode()}")
    return (time.perf_counter() - began) * 1000, len(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if not arguments.reuse:
        psql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    folder, port = Path(tempfile.mkdtemp()), free_port()
    process = start(folder, port)
    try:
        if not arguments.reuse:
            fill()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        print("| page | kB | median ms | slowest ms |\n| --- | --- | --- | --- |")
        for name, path in pages():
            if arguments.only not in name:
                continue
            ask(connection, path)
            answers = [ask(connection, path) for _ in range(arguments.rounds)]
            times = [took for took, _ in answers]
            size = answers[0][1] / 1000
            print(f"| {name} | {size:.0f} | {statistics.median(times):.0f} | {max(times):.0f} |", flush=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


if __name__ == "__main__":
    main()
