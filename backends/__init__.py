"""The adapters: one file a framework. Each only translates, and imports its framework when it is itself imported."""
