# Tug as a container: docker build -t tug .     (how to run it: docs/compose.md, examples/container/)
# BASE builds; the image has nothing of it but the libraries that Tug is linked to: no shell, no package manager.
# With what `make install DESTDIR=stage PREFIX=/usr` made in ./stage, BASE needs only sh and the libraries.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS build
COPY . /src
RUN ["/bin/sh", "/src/packaging/container/root", "/src", "/root-fs", "/state"]

FROM scratch
COPY --from=build /root-fs /
COPY --from=build --chown=1000:1000 /state /var/lib
ENV PATH=/usr/bin HOME=/var/lib/tug TUG_HOME=/var/lib/tug TUG_LISTEN=0.0.0.0:12434 TUG_DOCKER_BRIDGE=off
USER 1000:1000
VOLUME /var/lib/tug
EXPOSE 12434
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD ["tug", "status"]
ENTRYPOINT ["tug"]
# Needs TUG_API_KEY, or TUG_INSECURE=1 where whoever reaches the container may use it.
CMD ["serve"]
