# A static binary on distroless, as a user without rights.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/walrelay . \
    && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/walrelay /usr/local/bin/walrelay
# The event log's directory: owned by nonroot (65532), so that a new volume is too.
COPY --from=build --chown=65532:65532 /out/data /var/lib/walrelay
VOLUME /var/lib/walrelay
# log.dir is ./walrelay-data by default: below the volume, not in the container's layer.
WORKDIR /var/lib/walrelay
# 8080: streams. 9090: health, metrics, profiling, on 127.0.0.1 unless admin.listen says else; do not publish it.
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/walrelay"]
CMD ["serve", "-c", "/etc/walrelay/walrelay.yaml"]
