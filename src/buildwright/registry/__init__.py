"""Registries: credentials from docker's configuration and tokens from their servers."""
