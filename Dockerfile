# One image for every service, the newspaper and the command line: `docker build -t nguonthu .`
FROM python:3.11-slim AS build
RUN python -m venv /opt/nguonthu
COPY requirements/run.txt /src/requirements/run.txt
RUN /opt/nguonthu/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r /src/requirements/run.txt
COPY pyproject.toml README.md /src/
COPY shared /src/shared
COPY services /src/services
COPY ops /src/ops
COPY demo /src/demo
RUN /opt/nguonthu/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation /src

FROM python:3.11-slim
COPY --from=build /opt/nguonthu /opt/nguonthu
RUN useradd --uid 10001 --no-create-home --home-dir /data nguonthu && install -d -o nguonthu -g nguonthu /data
ENV PATH=/opt/nguonthu/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    NGUONTHU_HOME=/data NGUONTHU_LISTEN=0.0.0.0
USER nguonthu
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["nguonthu"]
CMD ["--help"]
