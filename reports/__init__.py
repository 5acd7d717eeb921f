"""The readers: what the auditor and the compliance officer touch.  Needs DuckDB and the kernel, never the proxy.

``cli`` is the command line; ``log`` opens a log directory, locked down; one module per question (``status``,
``inquiry``, ``explain``, ``query``, ``activity``, ``sites``, ``judge``) with its SQL beside it in ``sql/``;
``coverage`` says what an answer can and cannot rest on; ``envelope`` is what every report carries; ``render`` turns
answers into text, Markdown, CSV and JSON.
"""
