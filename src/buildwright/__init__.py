"""Build container images with BuildKit from Python: on Kubernetes, on any daemon, as a drop-in for docker buildx."""

__version__ = "0.1.0"
