"""The kernel: what a record is, how a decision is made, what the log looks like, how it is sealed.

Pure: no mitmproxy, no duckdb, no clock, no socket, no disk.  The proxy writes with it, the reports read and
re-check with it.  Read in the order the data meets it: ``text`` and ``records`` (the nouns), ``identity`` (who
asks), ``target`` (what is asked), ``robots`` (what the site says), ``decision`` (what we do), ``exchange`` (what
may follow what), ``schema`` (the log's shape on disk), ``seal`` (hashes, tree, checkpoint).
"""

__version__ = "0.1.0"
