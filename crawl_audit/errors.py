"""The errors of this project: our own operating trouble, never a site's.

What a site does wrong (404, garbage robots.txt, a TLS fault) is data in a record.  These classes are for what we
or our operator must mend; each message says what was being done and what to do next, in one sentence.
"""


class CrawlAuditError(Exception):
    """Root of every error this project raises on purpose; its text is fit to be shown to a person."""


class ConfigurationError(CrawlAuditError):
    """The settings, files or rights given at start do not allow a start; ends with exit code 78 (EX_CONFIG)."""


class LogUnavailable(CrawlAuditError):
    """A record could not be made durable, so the request it belongs to must not leave.

    ``reason`` is a short fixed word for metrics and problem details, for example ``audit_backpressure``.
    """

    def __init__(self, message: str, *, reason: str = "audit_log_unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class RecordError(CrawlAuditError):
    """A value cannot be put into, or read from, the log's canonical form."""


class LogFormatError(CrawlAuditError):
    """A log directory, segment or file given to a reader is not one this version can read."""
