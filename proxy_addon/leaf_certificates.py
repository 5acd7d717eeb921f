"""The certificates that clients are shown for sites: made when a host is first asked for, kept within a bound.

mitmproxy keeps a hundred and, for each that goes, compares the fingerprints of all of them: an eighth of what a new
host costs once there are more.  A crawler asks thousands of hosts, so here are more of them, and the one that was not
asked for the longest time goes, without a comparison.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from cryptography import x509
from mitmproxy import certs

# About 6 KiB each: 12 MiB for the hosts that were asked last.
KEPT_MAX = 2000


class LeafCertificates(certs.CertStore):
    """mitmproxy's store of certificates, with the least recently used one thrown away first."""

    kept_max = KEPT_MAX

    @classmethod
    def signed_by(cls, key_file: Path) -> Self:
        """A store of the authority in ``key_file`` with nothing in it yet; raises OSError and ValueError.

        Nothing is written beside the key: a mounted secret is read-only.
        """
        with tempfile.TemporaryDirectory() as place:
            # mitmproxy takes its Diffie-Hellman parameters from a file, and makes one where there is none.
            store = cls.from_files(key_file, Path(place) / "dhparam.pem")
        assert isinstance(store, cls)
        return store

    def get_cert(
        self,
        commonname: str | None,
        sans: Iterable[x509.GeneralName],
        organization: str | None = None,
        crl_url: str | None = None,
    ) -> certs.CertStoreEntry:
        """The certificate for a host with its key; nothing in this store stands for other names than it was made for,
        so only the whole key is looked up, and not every wildcard above the host."""
        key = (commonname, x509.GeneralNames(sans))
        entry = self.certs.pop(key, None)
        if entry is None or entry.cert.has_expired():  # they hold for half a year, and a sidecar may run for longer
            return super().get_cert(commonname, key[1], organization, crl_url)
        self.certs[key] = entry  # dictionaries keep the order in which keys came: the last one is the last used
        return entry

    def expire(self, entry: certs.CertStoreEntry) -> None:  # noqa: ARG002 - the one just added never is the one to go
        """Throw away the least recently used certificate where there are too many."""
        if len(self.certs) > self.kept_max:
            del self.certs[next(iter(self.certs))]
