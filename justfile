# Recipes for people who work on Hitchpost. `just check` is what CI runs.

# Format, lint, test on every database, drive the real SDKs and a browser.
check:
    bash .ci/check

# The tests of the README: everything that needs neither Node nor a database server.
test:
    cargo test --locked

# Run the server on the embedded database.
run:
    cargo run --release

# Rewrite the query cache in .sqlx from an empty database that DATABASE_URL names.
prepare:
    bash .ci/prepare-queries

# Rewrite .env.example and print the settings table of the README.
documents:
    cargo run --quiet -- check-config --print-env-example > .env.example
    cargo run --quiet -- check-config --print-settings-table

# Proxied calls next to nginx; needs wrk, nginx and DATABASE_URL.
bench:
    cargo build --release --locked
    bench/proxy.py

# What logging, counting and shipping every proxied call costs; needs wrk, nginx and DATABASE_URL.
bench-everything:
    cargo build --release --locked
    bench/everything.py

# The API over a million connections; needs wrk, psql and DATABASE_URL.
bench-api:
    cargo build --release --locked
    bench/api.py

# Paint, weight and frames of the Connect UI in Chromium; needs the packages of tests/sdk.
bench-connect-ui:
    cargo build --release --locked
    HITCHPOST_BIN="${HITCHPOST_BIN:-target/release/hitchpost}" bench/connect-ui.mjs
