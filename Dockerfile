# Images are pinned by digest: a tag may mean another one tomorrow. There is no `syntax` line either, which would name one
# more, that nothing bumps. The stage has a name so that Dependabot sees and bumps it; uv.lock is read by any uv 0.13.
FROM ghcr.io/astral-sh/uv:0.13.0@sha256:cdc6093146eb3ff6a40107b38f008b789e050e77ad87865e381d9917da55a168 AS uv

# Both stages are the same image: the virtual environment holds a link to its interpreter.
FROM python:3.13-slim-bookworm@sha256:5024f48ba9441d4b13a95d3945abc6365538e3a31109833367a1923523c6efed AS builder
COPY --from=uv /uv /usr/local/bin/uv
# The cache mount is another file system, where links cannot reach; the image's own Python is the one to use.
ENV UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# Dependencies first: this layer is built again only when they change. pyproject.toml asks for bytecode.
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    uv sync --locked --no-dev --no-install-project
# README and LICENSE are part of the package's metadata.
COPY pyproject.toml uv.lock README.md LICENSE alembic.ini ./
COPY alembic alembic
COPY app app
# Installed editable, as uv does: the code finds the migrations beside it. uv compiles no editable code, and the
# server's user could not write the bytecode later.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev \
    && .venv/bin/python -m compileall -q app alembic

FROM python:3.13-slim-bookworm@sha256:5024f48ba9441d4b13a95d3945abc6365538e3a31109833367a1923523c6efed
# A fixed number, because Kubernetes and bind mounts know users by number.
RUN groupadd --gid 10001 strata \
    && useradd --uid 10001 --gid strata --home-dir /data --no-create-home --shell /usr/sbin/nologin strata \
    && install --directory --owner strata --group strata --mode 0700 /data
# Root owns the code, so that the server cannot change itself.
COPY --from=builder /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Where TRUSTED_HOSTS does not name localhost, a 400 is the right answer, and a sign of life. http.client, unlike
# urllib, does not go through a proxy that is set for the container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection; c = HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/health', headers={'Host': 'localhost'}); raise SystemExit(c.getresponse().status not in (200, 400))"]
# Without a shell in between, so that the signal to stop reaches the server.
ENTRYPOINT ["strata"]
CMD ["serve", "--host", "0.0.0.0"]

# Last, since they differ in every build.
ARG GIT_COMMIT=""
ENV GIT_COMMIT=$GIT_COMMIT
LABEL org.opencontainers.image.title="Strata" \
      org.opencontainers.image.description="A backend for SPAs and mobile apps" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="$GIT_COMMIT"
