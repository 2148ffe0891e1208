import ssl

from chatapp_tail.sandbox.certificates import Certificates


def test_the_ca_file_exists_until_removed() -> None:
    certificates = Certificates()
    ca_file = certificates.install()
    ssl.create_default_context(cafile=ca_file)
    certificates.remove()
    assert not ca_file.parent.exists()


def test_installed_again_it_is_the_same_authority() -> None:
    certificates = Certificates()
    first = certificates.install().read_text()
    certificates.remove()
    second = certificates.install().read_text()
    certificates.remove()
    assert first == second
