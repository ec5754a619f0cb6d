"""The kubernetes driver: options and manifests are pure, the driver is glue."""
