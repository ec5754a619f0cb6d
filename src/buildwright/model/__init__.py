"""The shared nouns: frozen values that every other package speaks in. Imports nothing but `errors`."""
