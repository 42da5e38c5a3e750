import datetime
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from psc.errors import AuthenticationError, StorageError, UsageError
from psc.node import certificates
from psc.node.authority import KeyPair, issue_leaf, new_authority, parse_chain
from psc.node.certificates import TlsFiles, examine, identify, tls_for
from psc.node.clock import now
from psc.node.home import Home
from psc.node.own import own_card, rotate
from psc.node.settings import TlsSettings
from psc.node.trust import partner_named, trust
from tests.homes import befriend, code_of

MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)
SIGNS_CERTIFICATES = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


# --- a real TLS handshake in memory ---------------------------------------------------------------------------


def context(files: TlsFiles, folder: Path, *, server: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    pair = folder / "pair.pem"
    pair.write_bytes(files.certificate_pem + files.key_pem)
    made.load_cert_chain(pair)
    made.load_verify_locations(cadata=files.roots_pem.decode())
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def handshake(client: TlsFiles, server: TlsFiles, folder: Path) -> bytes:
    """Shake hands under TLS 1.3 both ways and return the client's leaf as the server saw it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = context(client, folder, server=False).wrap_bio(to_client, to_server, server_hostname=client.server_name)
    two = context(server, folder, server=True).wrap_bio(to_server, to_client, server_side=True)
    done = [False, False]
    for _ in range(10):
        for index, end in enumerate((one, two)):
            try:
                end.do_handshake()
                done[index] = True
            except ssl.SSLWantReadError:
                pass
    assert done == [True, True]
    leaf = two.getpeercert(binary_form=True)
    assert leaf is not None
    return x509.load_der_x509_certificate(leaf).public_bytes(serialization.Encoding.PEM)


def test_two_nodes_shake_hands_and_know_each_other(friends: tuple[Home, Home, Home], tmp_path: Path) -> None:
    merchant, courier, _ = friends
    dialling = tls_for(merchant, partner_named(merchant, "courier"))
    seen = handshake(dialling, tls_for(courier, None), tmp_path)
    peer = examine(courier, seen)
    assert (peer.name, peer.identity) == ("merchant", merchant.identity.public)


def test_a_dialler_accepts_only_the_partner_it_meant(friends: tuple[Home, Home, Home], tmp_path: Path) -> None:
    merchant, _, bank = friends
    dialling = tls_for(merchant, partner_named(merchant, "courier"))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(dialling, tls_for(bank, None), tmp_path)


def test_a_server_refuses_a_stranger(friends: tuple[Home, Home, Home], tmp_path: Path) -> None:
    _, courier, _ = friends
    with Home.create(tmp_path / "stranger", "stranger") as stranger:
        trust(stranger, own_card(courier))
        dialling = tls_for(stranger, partner_named(stranger, "courier"))
        with pytest.raises(ssl.SSLError):
            handshake(dialling, tls_for(courier, None), tmp_path)
        assert identify(courier, dialling.certificate_pem) is None
        assert (
            code_of(AuthenticationError, lambda: examine(courier, dialling.certificate_pem)).code
            == "node.peer-certificate-unknown"
        )


def test_the_own_processes_reach_the_own_server(merchant: Home, tmp_path: Path) -> None:
    serving = tls_for(merchant, None)
    seen = handshake(serving, serving, tmp_path)
    peer = examine(merchant, seen)
    assert (peer.name, peer.identity) == ("merchant", merchant.identity.public)


def test_a_dialler_trusts_one_authority_and_a_server_all(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, bank = friends
    authorities = [own_card(home).card.authority_pem.encode() for home in (merchant, courier, bank)]
    dialling, serving = tls_for(merchant, partner_named(merchant, "courier")), tls_for(merchant, None)
    assert dialling.roots_pem == authorities[1]
    assert dialling.server_name == own_card(courier).card.tls_name
    assert all(pem in serving.roots_pem for pem in authorities)
    assert serving.server_name == own_card(merchant).card.tls_name
    assert "BEGIN" not in repr(serving)


def test_the_leaf_is_what_the_specification_says(merchant: Home) -> None:
    leaf = x509.load_pem_x509_certificate(tls_for(merchant, None).certificate_pem)
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == set(BOTH)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(merchant.identity.public[:32] + ".psc")]
    assert leaf.not_valid_after_utc - now() <= 7 * DAY
    authority = x509.load_pem_x509_certificate(own_card(merchant).card.authority_pem.encode())
    assert 3650 * DAY < authority.not_valid_after_utc - now() < 3660 * DAY
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


# --- who is it -------------------------------------------------------------------------------------------------


def authority_of(home: Home) -> KeyPair:
    folder = home.keys_folder(home.identity.public)
    return KeyPair((folder / "authority.pem").read_bytes(), (folder / "authority-key.pem").read_bytes())


def test_a_partners_authority_cannot_speak_for_another_partner(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, bank = friends
    victim = own_card(bank).card.tls_name
    forged = issue_leaf(authority_of(courier), victim, now())
    assert identify(merchant, forged.certificate_pem) is None
    own = issue_leaf(authority_of(courier), own_card(merchant).card.tls_name, now())
    assert identify(merchant, own.certificate_pem) is None
    # With the right authority's certificate sent along as an "intermediate" it helps no more.
    along = forged.certificate_pem + authority_of(bank).certificate_pem
    assert identify(merchant, along) is None


def test_an_authority_of_the_same_name_with_another_key_is_nobody(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, _ = friends
    fake = new_authority(courier.identity.public, now())
    forged = issue_leaf(fake, own_card(courier).card.tls_name, now())
    assert identify(merchant, forged.certificate_pem) is None
    assert identify(merchant, forged.certificate_pem + fake.certificate_pem) is None


def test_the_authority_itself_is_no_leaf(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, _ = friends
    assert identify(merchant, authority_of(courier).certificate_pem) is None


def test_a_rotated_partner_is_nobody_until_its_card_is_trusted(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, _ = friends
    old = tls_for(courier, None)
    card = rotate(courier)
    new = tls_for(courier, None)
    assert identify(merchant, new.certificate_pem) is None
    trust(merchant, card)
    assert identify(merchant, old.certificate_pem) is None
    peer = identify(merchant, new.certificate_pem)
    assert peer is not None
    assert peer.identity == courier.identity.public


@pytest.mark.parametrize("pem", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff" * 100])
def test_a_malformed_certificate_is_nobodys(merchant: Home, pem: bytes) -> None:
    assert identify(merchant, pem) is None
    assert code_of(AuthenticationError, lambda: examine(merchant, pem)).code == "node.peer-certificate-malformed"


def test_too_many_certificates_are_malformed(friends: tuple[Home, Home, Home]) -> None:
    pem = tls_for(friends[1], None).certificate_pem
    assert identify(friends[0], pem * 8) is not None
    assert code_of(AuthenticationError, lambda: examine(friends[0], pem * 9)).code == "node.peer-certificate-malformed"


def test_clocks_may_differ_by_five_minutes(friends: tuple[Home, Home, Home]) -> None:
    merchant, courier, _ = friends
    pem = tls_for(courier, None).certificate_pem
    leaf = parse_chain(pem)[0]
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    assert identify(merchant, pem, moment=end + 5 * MINUTE) is not None
    assert identify(merchant, pem, moment=start - 5 * MINUTE) is not None
    late = code_of(AuthenticationError, lambda: examine(merchant, pem, moment=end + 5 * MINUTE + DAY / 86400))
    early = code_of(AuthenticationError, lambda: examine(merchant, pem, moment=start - 6 * MINUTE))
    assert late.code == "node.peer-certificate-expired"
    assert early.code == "node.peer-certificate-not-yet-valid"


def leaf_with(
    issuer: KeyPair,
    names: list[x509.GeneralName],
    usages: tuple[x509.ObjectIdentifier, ...] = BOTH,
    days: int = 7,
    ca: bool = False,
) -> KeyPair:
    """Issue a certificate of any shape."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key(issuer.key_pem, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    parent = parse_chain(issuer.certificate_pem)[0]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {key.public_key().public_numbers().x}"[:60])]))
        .issuer_name(parent.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - 30 * DAY)
        .not_valid_after(now() + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if ca:
        builder = builder.add_extension(SIGNS_CERTIFICATES, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    else:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False) if names else builder
    certificate = builder.sign(signer, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), pem)


@pytest.mark.parametrize(
    ("names", "usages"),
    [
        (["NAME", "other.example"], BOTH),
        (["NAME", "ip"], BOTH),
        ([], BOTH),
        (["NAME"], (ExtendedKeyUsageOID.SERVER_AUTH,)),
        (["NAME"], (ExtendedKeyUsageOID.CODE_SIGNING,)),
    ],
)
def test_a_leaf_of_another_shape_is_nobodys(
    friends: tuple[Home, Home, Home], names: list[str], usages: tuple[x509.ObjectIdentifier, ...]
) -> None:
    merchant, courier, _ = friends
    import ipaddress

    known = own_card(courier).card.tls_name
    said = [
        x509.IPAddress(ipaddress.ip_address("10.0.0.1")) if name == "ip" else x509.DNSName(name.replace("NAME", known))
        for name in names
    ]
    assert identify(merchant, leaf_with(authority_of(courier), said, usages).certificate_pem) is None
    good = leaf_with(authority_of(courier), [x509.DNSName(known)])
    assert identify(merchant, good.certificate_pem) is not None


# --- renewal ---------------------------------------------------------------------------------------------------


def test_a_leaf_is_kept_until_two_days_before_its_end(merchant: Home) -> None:
    first = tls_for(merchant, None)
    end = parse_chain(first.certificate_pem)[0].not_valid_after_utc
    assert tls_for(merchant, None).certificate_pem == first.certificate_pem
    assert tls_for(merchant, None, moment=end - 2 * DAY - MINUTE).certificate_pem == first.certificate_pem
    renewed = tls_for(merchant, None, moment=end - 2 * DAY)
    assert renewed.certificate_pem != first.certificate_pem
    assert renewed.key_pem != first.key_pem
    assert tls_for(merchant, None, moment=end - 2 * DAY).certificate_pem == renewed.certificate_pem


@pytest.mark.parametrize("damage", ["empty", "garbage", "key of another", "clock set back"])
def test_an_unusable_leaf_is_replaced(merchant: Home, courier: Home, damage: str) -> None:
    first = tls_for(merchant, None)
    file = merchant.keys_folder(merchant.identity.public) / "leaf.pem"
    moment = None
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "garbage":
        file.write_bytes(b"\xff\x00garbage")
    elif damage == "key of another":
        file.write_bytes(first.certificate_pem + tls_for(courier, None).key_pem)
    else:
        moment = now() - 2 * DAY
    second = tls_for(merchant, None, moment=moment)
    assert second.certificate_pem != first.certificate_pem
    assert (file.stat().st_mode & 0o777) == 0o600
    befriend(merchant, courier)
    if moment is None:  # at the earlier time the authority itself was not valid yet
        assert identify(courier, second.certificate_pem) is not None


def test_all_who_renew_at_once_show_one_leaf(merchant: Home) -> None:
    barrier = threading.Barrier(12)
    found: list[TlsFiles] = []

    def renew() -> None:
        with Home.open(merchant.path) as home:
            barrier.wait()
            found.append(tls_for(home, None))

    threads = [threading.Thread(target=renew) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len({(files.certificate_pem, files.key_pem) for files in found}) == 1


def test_an_authority_past_its_end_says_to_rotate(merchant: Home) -> None:
    later = now() + datetime.timedelta(days=4000)
    error = code_of(AuthenticationError, lambda: tls_for(merchant, None, moment=later))
    assert error.code == "node.authority-expired"
    assert "--rotate" in str(error)


def test_a_leaf_never_outlives_its_authority(merchant: Home) -> None:
    authority = parse_chain(authority_of(merchant).certificate_pem)[0]
    late = authority.not_valid_after_utc - DAY
    leaf = parse_chain(tls_for(merchant, None, moment=late).certificate_pem)[0]
    assert leaf.not_valid_after_utc <= authority.not_valid_after_utc


def test_a_damaged_authority_is_a_storage_error(merchant: Home, courier: Home) -> None:
    other = authority_of(courier)
    (merchant.keys_folder(merchant.identity.public) / "authority-key.pem").write_bytes(other.key_pem)
    assert code_of(StorageError, lambda: tls_for(merchant, None)).code == "node.key-damaged"


# --- company CA ------------------------------------------------------------------------------------------------


@dataclass
class Company:
    """A company's root, an intermediate authority, and how to install a certificate in a home."""

    root: KeyPair
    middle: KeyPair

    def install(self, home: Home, leaf: KeyPair, *, chain: bytes = b"", authority: bytes | None = None) -> None:
        (home.path / "company.pem").write_bytes(leaf.certificate_pem + chain)
        (home.path / "company-key.pem").write_bytes(leaf.key_pem)
        (home.path / "company-key.pem").chmod(0o600)
        (home.path / "company-ca.pem").write_bytes(self.root.certificate_pem if authority is None else authority)
        tls = TlsSettings(certificate="company.pem", key="company-key.pem", authority="company-ca.pem")
        home.settings = home.settings.model_copy(update={"tls": tls})


@pytest.fixture
def company() -> Company:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "company root")])
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - 400 * DAY)
        .not_valid_after(now() + 4000 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pair = KeyPair(root.public_bytes(serialization.Encoding.PEM), pem)
    return Company(pair, leaf_with(pair, [], ca=True, days=1000))


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def test_a_company_certificate_takes_the_place_of_the_own_one(
    merchant: Home, courier: Home, company: Company, tmp_path: Path
) -> None:
    company.install(courier, leaf_with(company.root, dns("*.courier.example", "psc.courier.example")))
    card = own_card(courier).card
    assert card.tls_name == "psc.courier.example"
    assert card.authority_pem.encode() == company.root.certificate_pem
    befriend(merchant, courier)
    dialling = tls_for(merchant, partner_named(merchant, "courier"))
    assert dialling.server_name == "psc.courier.example"
    handshake(dialling, tls_for(courier, None), tmp_path)
    back = handshake(tls_for(courier, partner_named(courier, "merchant")), tls_for(merchant, None), tmp_path)
    peer = examine(merchant, back)
    assert peer.name == "courier"
    # The leaf of the node's own authority counts no more: the card pins the company's.
    assert identify(merchant, issue_leaf(authority_of(courier), "psc.courier.example", now()).certificate_pem) is None


@pytest.mark.parametrize("where", ["with the leaf", "with the authority"])
def test_intermediate_authorities_are_found(merchant: Home, courier: Home, company: Company, tmp_path: Path, where: str) -> None:
    leaf = leaf_with(company.middle, dns("psc.courier.example"))
    if where == "with the leaf":
        company.install(courier, leaf, chain=company.middle.certificate_pem)
    else:
        company.install(courier, leaf, authority=company.middle.certificate_pem + company.root.certificate_pem)
    befriend(merchant, courier)
    seen = tls_for(courier, None).certificate_pem
    assert examine(merchant, seen).name == "courier"
    if where == "with the authority":
        assert examine(
            merchant, handshake(tls_for(courier, partner_named(courier, "merchant")), tls_for(merchant, None), tmp_path)
        )
    else:
        assert identify(merchant, leaf.certificate_pem) is None  # without its intermediate nothing leads to the root


def test_two_nodes_under_one_company_authority_are_told_apart(
    merchant: Home, courier: Home, bank: Home, company: Company
) -> None:
    company.install(courier, leaf_with(company.root, dns("one.example")))
    company.install(bank, leaf_with(company.root, dns("two.example")))
    befriend(merchant, courier, bank)
    for home, name in ((courier, "courier"), (bank, "bank")):
        assert examine(merchant, tls_for(home, None).certificate_pem).name == name
    both = leaf_with(company.root, dns("one.example", "two.example"))
    assert identify(merchant, both.certificate_pem) is None
    stranger = leaf_with(company.root, dns("three.example"))
    assert identify(merchant, stranger.certificate_pem) is None


def test_two_partners_with_one_certificate_name_are_refused(merchant: Home, courier: Home, bank: Home, company: Company) -> None:
    leaf = leaf_with(company.root, dns("psc.example"))
    company.install(courier, leaf)
    company.install(bank, leaf)
    trust(merchant, own_card(courier))
    error = code_of(UsageError, lambda: trust(merchant, own_card(bank)))
    assert (error.code, error.fields["other"]) == ("node.tls-name-taken", "courier")


def test_a_rotation_keeps_the_company_certificate(merchant: Home, courier: Home, company: Company) -> None:
    company.install(courier, leaf_with(company.root, dns("psc.courier.example")))
    befriend(merchant, courier)
    assert trust(merchant, rotate(courier)).partner.card.tls_name == "psc.courier.example"
    peer = examine(merchant, tls_for(courier, None).certificate_pem)
    assert peer.identity == courier.identity.public


def spoil_key(company: Company, home: Home) -> None:
    company.install(home, leaf_with(company.root, dns("psc.example")))
    (home.path / "company-key.pem").write_bytes(company.middle.key_pem)


def spoil_file(name: str) -> Callable[[Company, Home], None]:
    def spoil(company: Company, home: Home) -> None:
        company.install(home, leaf_with(company.root, dns("psc.example")))
        (home.path / name).write_bytes(b"nothing")

    return spoil


def other_issuer(company: Company, home: Home) -> None:
    other = new_authority("ab" * 32, now())
    company.install(home, issue_leaf(other, "psc.example", now()))


@pytest.mark.parametrize(
    ("spoil", "kind", "code"),
    [
        (spoil_key, UsageError, "node.company-key-other"),
        (spoil_file("company.pem"), UsageError, "node.company-file-malformed"),
        (spoil_file("company-key.pem"), UsageError, "node.company-file-malformed"),
        (spoil_file("company-ca.pem"), UsageError, "node.company-file-malformed"),
        (lambda c, h: c.install(h, leaf_with(c.root, dns("*.x.example"))), UsageError, "node.company-certificate-nameless"),
        (lambda c, h: c.install(h, leaf_with(c.root, dns("a.psc"))), UsageError, "node.company-certificate-nameless"),
        (lambda c, h: c.install(h, leaf_with(c.root, [])), UsageError, "node.company-certificate-nameless"),
        (
            lambda c, h: c.install(h, leaf_with(c.root, dns("a.x"), days=-1)),
            AuthenticationError,
            "node.company-certificate-expired",
        ),
        (lambda c, h: c.install(h, leaf_with(c.middle, dns("a.x"))), UsageError, "node.company-certificate-issuer"),
        (lambda c, h: c.install(h, leaf_with(c.root, dns("a.x"), BOTH[:1])), UsageError, "node.company-certificate-issuer"),
        (other_issuer, UsageError, "node.company-certificate-issuer"),
    ],
)
def test_company_files_that_do_not_fit_are_named(
    merchant: Home, company: Company, spoil: Callable[[Company, Home], None], kind: type, code: str
) -> None:
    spoil(company, merchant)
    assert code_of(kind, lambda: tls_for(merchant, None)).code == code


def test_all_three_company_files_are_needed_and_found(merchant: Home, company: Company) -> None:
    company.install(merchant, leaf_with(company.root, dns("a.x")))
    merchant.settings = merchant.settings.model_copy(update={"tls": TlsSettings(certificate="company.pem")})
    error = code_of(UsageError, lambda: tls_for(merchant, None))
    assert (error.code, error.fields["name"]) == ("node.setting-missing", "tls.key")
    tls = TlsSettings(certificate="gone.pem", key="company-key.pem", authority="company-ca.pem")
    merchant.settings = merchant.settings.model_copy(update={"tls": tls})
    assert code_of(StorageError, lambda: tls_for(merchant, None)).code == "node.path-unusable"


def test_a_company_key_that_everybody_reads_is_refused(merchant: Home, company: Company) -> None:
    company.install(merchant, leaf_with(company.root, dns("a.x")))
    key = merchant.path / "company-key.pem"
    key.chmod(0o640)
    tls_for(merchant, None)
    key.chmod(0o644)
    assert code_of(StorageError, lambda: tls_for(merchant, None)).code == "node.permissions-wide"


def test_certificates_never_touch_the_identity_key(merchant: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS keys are not derived from the identity: two nodes' leaves are fresh P-256 keys each time."""
    monkeypatch.setattr(certificates, "leaf_is_fresh", lambda *_: False)
    keys = {tls_for(merchant, None).key_pem for _ in range(3)}
    assert len(keys) == 3
