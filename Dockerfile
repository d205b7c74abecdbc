# Portent in an image of its own: one static binary, the roots of TLS, and nothing else.
#
# The binary is built outside, so that the image holds the very binary that the tests ran:
#
#   cargo build --profile dist
#   install -D -m 755 "target/$(rustc --print host-tuple)/dist/portent" target/image/portent
#   install -D -m 644 /etc/ssl/certs/ca-certificates.crt target/image/ca-certificates.crt
#   install -d target/image/state
#   buildah bud --isolation chroot -t portent:0.1.0 .     # or docker build, podman build
FROM scratch
LABEL org.opencontainers.image.title="portent" \
      org.opencontainers.image.description="Learns what normal looks like in Prometheus, and serves anomaly scores that Prometheus scrapes" \
      org.opencontainers.image.licenses="Apache-2.0"
# Without it even plain http:// fails: the HTTP client wants roots to start with.
COPY target/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# An empty folder of Portent's own, so that models and labels have a place also where nothing is mounted there.
COPY --chown=65534:65534 target/image/state /var/lib/portent
COPY target/image/portent /portent
# By number: Kubernetes cannot tell from a name that it is not root.
USER 65534:65534
EXPOSE 10047
# One heap for all threads: with one each, what a thread frees no other can use, and with 1,000 ports
# that is a third of all memory.
ENV MALLOC_ARENA_MAX=1
ENTRYPOINT ["/portent"]
CMD ["serve"]
