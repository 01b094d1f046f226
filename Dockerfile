# The image for production: Hitchpost without its embedded database, for a PostgreSQL of your own.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock askama.toml README.md ./
COPY .sqlx .sqlx
COPY assets assets
COPY docs/CATALOG.md docs/
COPY migrations migrations
COPY src src
ENV SQLX_OFFLINE=true
RUN cargo build --release --locked --no-default-features --bin hitchpost \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Hitchpost" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/target/release/hitchpost /usr/local/bin/hitchpost
# Holds the generated key file when NANGO_ENCRYPTION_KEY is not set.
COPY --from=build --chown=nonroot:nonroot /data /data
ENV HITCHPOST_DATA_DIR=/data
VOLUME /data
EXPOSE 3003 3009
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/local/bin/hitchpost", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/hitchpost"]
