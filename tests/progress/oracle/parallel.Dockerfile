FROM debian:bookworm-slim AS version
FROM busybox AS base
COPY blob /blob
FROM base AS one
ARG N=0
RUN echo one $N; for i in $(seq 12); do echo "one line $i"; sleep 0.1; done; printf 'no newline'
FROM base AS two
ARG N=0
RUN echo two $N; for i in $(seq 12); do echo "two line $i" >&2; sleep 0.13; done; printf 'a\rb\rc\n'
FROM busybox
COPY --from=version /etc/debian_version /
COPY --from=one /blob /one
COPY --from=two /blob /two
RUN <<END
echo several
echo lines
END
