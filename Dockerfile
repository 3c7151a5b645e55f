# One image for every role: `sluice api`, `sluice scheduler`, `sluice worker`, `sluice migrate up`.
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:24-bookworm-slim
# git is what Sluice works with; bubblewrap confines what it runs; tini reaps what killed tools leave behind.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends git bubblewrap openssh-client ca-certificates tini \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 10001 sluice \
  && useradd --create-home --uid 10001 --gid 10001 sluice \
  && mkdir /data && chown sluice:sluice /data
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY --from=build /build/bin ./bin
RUN ln -s /app/bin/sluice.cjs /usr/local/bin/sluice
USER 10001:10001
# A number, so that Kubernetes can check runAsNonRoot. Each role answers health checks beside its work.
ENV SLUICE_DATA_DIR=/data SLUICE_MONITOR_PORT=7412
VOLUME /data
HEALTHCHECK --interval=15s --timeout=6s --start-period=40s CMD ["sluice", "health"]
ENTRYPOINT ["tini", "--", "sluice"]
CMD ["--help"]
