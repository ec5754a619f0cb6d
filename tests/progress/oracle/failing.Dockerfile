FROM busybox AS base
ARG N=0
RUN echo "<fine> & good é"
RUN echo failing $N; \
    for i in $(seq 25); do echo "line $i"; done; \
    printf '\033[31mred\033[0m face \360\237\230\200\n'; \
    exit 7
RUN echo never
