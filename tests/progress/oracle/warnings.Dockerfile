FROM busybox as base
ENV key value
MAINTAINER me@example.com
FROM base as out
WORKDIR relative
RUN echo done
