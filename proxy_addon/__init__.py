"""The writer: mitmproxy in, durable records out.  Importing this package imports nothing heavy."""
