FROM busybox AS base
FROM base AS a
ARG N=0
RUN echo a $N; for i in $(seq 40); do echo "a says $i"; sleep 0.4; done
FROM base AS b
ARG N=0
RUN echo b $N; for i in $(seq 160); do echo "b says $i"; sleep 0.1; done
FROM base AS c
ARG N=0
RUN echo c $N; for i in $(seq 4); do printf "c dots"; for j in $(seq 20); do printf .; sleep 0.2; done; echo; done
FROM busybox
COPY --from=a /bin/true /a
COPY --from=b /bin/true /b
COPY --from=c /bin/true /c
