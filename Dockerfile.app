# The application image: the HTTP gateway, the identify workers, init-db, and detect workers where a
# CPU is enough. Runs as a user without rights over its own code; the root may be read-only.

FROM python:3.11-slim AS build
WORKDIR /code
# Only wheels: a dependency that would need a compiler is found here, not on a build machine.
# The environment gets no pip of its own; it is filled from outside.
COPY requirements.txt ./
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --disable-pip-version-check --no-cache-dir \
        --only-binary :all: --require-hashes -r requirements.txt
# The models change more rarely than the code: their layer needs ml/ and the settings only.
COPY config/ config/
COPY domain/ domain/
COPY ml/ ml/
RUN FECAPASS_MODELS__CACHE_DIR=/opt/models /opt/venv/bin/python -m ml.runtime.prepare_models
# The console script, as pip would write it; the code itself stays in /code.
RUN printf '#!/opt/venv/bin/python\nfrom infra.cli.main import main\n\nmain()\n' > /opt/venv/bin/fecapass \
    && chmod 755 /opt/venv/bin/fecapass

FROM python:3.11-slim
LABEL org.opencontainers.image.title="fecapass" \
      org.opencontainers.image.description="Event-driven face recognition: API and workers on the CPU" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 fecapass \
    && useradd --system --uid 10001 --gid fecapass --home-dir /nonexistent --shell /usr/sbin/nologin fecapass
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/code \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    FECAPASS_LOG_FORMAT=json \
    FECAPASS_MODELS__CACHE_DIR=/opt/models \
    FECAPASS_MODELS__EXECUTION_PROVIDER=auto \
    FECAPASS_API__HOST=0.0.0.0 \
    FECAPASS_API__PORT=8000 \
    FECAPASS_WORKERS__HEALTH_HOST=0.0.0.0 \
    FECAPASS_WORKERS__HEALTH_PORT=9100
WORKDIR /code
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/models /opt/models
COPY . .
USER 10001:10001
EXPOSE 8000 9100
# For the gateway; whoever runs a worker from this image names its address: 9100.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "infra.operations.healthcheck", "http://127.0.0.1:8000/health/live"]
# SIGTERM is the orderly end: finish what is in work, commit, give the partitions back.
STOPSIGNAL SIGTERM
ENTRYPOINT ["fecapass"]
CMD ["api"]
