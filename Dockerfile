# The container image of the server.
#
#   docker build --tag dormouse:local .
#   docker run --rm -p 8787:8787 -v dormouse:/data \
#     -e DORMOUSE_AUTH__SECRET="$(openssl rand -hex 32)" dormouse:local
#
# Without DORMOUSE_AUTH__SECRET the server refuses to start (status 64), by design: other machines
# can reach it here, and without a secret it would run in development mode, open to all of them.

# --- cargo-chef reduces the sources to a recipe of their dependencies, so that these are compiled
# in a layer that stays cached until a manifest changes.
FROM rust:1.95.0-slim-bookworm AS chef
# The allocator is C, built with make.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/*
RUN cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

FROM chef AS recipe
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM chef AS build
COPY --from=recipe /recipe.json /recipe.json
RUN cargo chef cook --release --locked --package dormouse-server --bin dormouse --recipe-path /recipe.json
COPY . .
RUN cargo build --release --locked --package dormouse-server --bin dormouse

# --- The same Debian as the build's, for its C library; nothing else is needed.
FROM debian:bookworm-slim
# The ids are fixed so that the files of a volume keep their owner from image to image.
RUN groupadd --system --gid 10001 dormouse \
 && useradd --system --uid 10001 --gid 10001 --home-dir /data --no-create-home \
    --shell /usr/sbin/nologin dormouse \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/dormouse/
COPY --from=build /src/target/release/dormouse /usr/local/bin/dormouse

ENV DORMOUSE_LISTEN=0.0.0.0:8787 \
    DORMOUSE_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8787
# Closes every connection with 1001 and ends within shutdown_timeout (5 s).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s --retries=3 CMD ["dormouse", "health"]
ENTRYPOINT ["dormouse"]
