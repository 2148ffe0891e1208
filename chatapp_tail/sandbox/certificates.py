"""A throw-away certificate authority for 127.0.0.1 and localhost."""

import ssl
import tempfile
from pathlib import Path


class Certificates:
    """A CA made for this object alone, and a server certificate it signed. Needs trustme.

    `context` serves both listeners; what `install` writes is what a client has to trust.
    """

    def __init__(self) -> None:
        import trustme  # only TLS needs it, and it takes a while to import

        self._authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "localhost").configure_cert(self.context)

    def install(self) -> Path:
        """Write the CA, as PEM, into a new temporary directory and return the file."""
        self._directory = tempfile.TemporaryDirectory(prefix="chatapp-sandbox-")
        ca_file = Path(self._directory.name) / "ca.pem"
        self._authority.cert_pem.write_to_path(str(ca_file))
        return ca_file

    def remove(self) -> None:
        """Delete what `install` wrote."""
        self._directory.cleanup()
