"""Fleets of BuildKit pods, as `docker buildx` makes them: a Deployment for each node, reached by pod exec.

Pure: `options` (texts to one value), `manifest` (value to objects), `name`, `choose` (pods to one), `readiness` and
`death` (what states mean). Glue: `driver`, `stream`.
"""
