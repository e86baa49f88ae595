# The worker and the `cutover` command. Debian, since the SDK's core needs glibc.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY . .
RUN npm ci && npm prune --omit=dev --ignore-scripts

FROM postgres:18-bookworm AS client

FROM node:20-bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libpq5 liblz4-1 libzstd1 \
 && rm -rf /var/lib/apt/lists/*
# pg_dump refuses a server newer than itself, so the newest client serves every source.
COPY --from=client /usr/lib/postgresql/18/bin/pg_dump /usr/lib/postgresql/18/bin/pg_restore /usr/lib/postgresql/18/bin/psql /usr/lib/postgresql/18/bin/
COPY --from=client /usr/lib/*-linux-gnu/libpq.so.5* /usr/lib/postgresql/18/lib/
ENV LD_LIBRARY_PATH=/usr/lib/postgresql/18/lib \
    CUTOVER_POSTGRES_BIN=/usr/lib/postgresql/18/bin \
    CUTOVER_ARTIFACTS=file:///var/lib/cutover/artifacts \
    NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/plan/postgres-plan.schema.json ./plan/
RUN ln -s /app/dist/client/cli.js /usr/local/bin/cutover && chmod +x /app/dist/client/cli.js \
 && mkdir -p /var/lib/cutover/artifacts && chown -R node:node /var/lib/cutover
USER node
VOLUME /var/lib/cutover
CMD ["node", "dist/worker/main.js"]
