/** Judgements on chains of certificates: RFC 5280 section 6, each compared with openssl's own. @module */
import assert from "node:assert/strict";
import { parseCertificate } from "../../../lib/tls/client_certificate.ts";
import { parseAnchors } from "../../../lib/tls/client_anchors.ts";
import { verifyChain } from "../../../lib/tls/client_chain.ts";
import { DerError } from "../../../lib/tls/client_der.ts";
import { AUTHORITY, CertificateChains, type Link, server } from "../../support/certificate_chains.ts";
import { testNeeding } from "../../support/tools.ts";

interface ChainCase {
  readonly name: string;
  readonly links: Readonly<Record<string, Link>>;
  /** Beside the leaf, which is "mx". */
  readonly sent?: readonly string[];
  readonly trusted: readonly string[];
  /** Empty: trusted. */
  readonly why: string;
  /** OpenSSL's answer where it is another, with the reason here. */
  readonly openssl?: string;
}

const ROOT: Link = { extensions: AUTHORITY };
const MX = server("mx.example.test");
const LEAF: Link = { issuer: "root", extensions: MX };
const MIDDLE: Link = { issuer: "root", extensions: AUTHORITY };

const CASES: readonly ChainCase[] = [
  { name: "signed by a root", links: { root: ROOT, mx: LEAF }, trusted: ["root"], why: "" },
  {
    name: "signed over an intermediate that was sent",
    links: { root: ROOT, middle: MIDDLE, mx: { issuer: "middle", extensions: MX } },
    sent: ["middle"],
    trusted: ["root"],
    why: "",
  },
  {
    name: "sent in any order, with others between",
    links: {
      root: ROOT,
      other: ROOT,
      a: MIDDLE,
      b: { issuer: "a", extensions: AUTHORITY },
      mx: { issuer: "b", extensions: MX },
    },
    sent: ["other", "a", "b"],
    trusted: ["root"],
    why: "",
  },
  {
    name: "an intermediate that was not sent",
    links: { root: ROOT, middle: MIDDLE, mx: { issuer: "middle", extensions: MX } },
    trusted: ["root"],
    why: "unable to get local issuer certificate",
  },
  {
    name: "an intermediate that is trusted itself",
    links: { root: ROOT, middle: MIDDLE, mx: { issuer: "middle", extensions: MX } },
    trusted: ["middle"],
    why: "",
  },
  {
    name: "another root of the same name",
    links: {
      root: ROOT,
      evil: { subject: "root", extensions: AUTHORITY },
      mx: { issuer: "evil", extensions: MX },
    },
    trusted: ["root"],
    why: "certificate signature failure",
    openssl: "unable to get local issuer certificate",
  },
  {
    name: "two roots of one name, the second of which has signed",
    links: { evil: { subject: "root", extensions: AUTHORITY }, root: ROOT, mx: LEAF },
    trusted: ["evil", "root"],
    why: "",
  },
  {
    name: "self-signed",
    links: { root: ROOT, mx: { extensions: MX } },
    trusted: ["root"],
    why: "self-signed certificate",
  },
  {
    name: "self-signed and trusted itself",
    links: { mx: { extensions: MX } },
    trusted: ["mx"],
    why: "",
  },
  {
    name: "a stranger's root that was sent",
    links: { root: ROOT, evil: ROOT, mx: { issuer: "evil", extensions: MX } },
    sent: ["evil"],
    trusted: ["root"],
    why: "self-signed certificate in certificate chain",
  },
  {
    name: "expired",
    links: { root: { ...ROOT, from: -9 }, mx: { ...LEAF, from: -5, to: -1 } },
    trusted: ["root"],
    why: "certificate has expired",
  },
  {
    name: "not yet valid",
    links: { root: ROOT, mx: { ...LEAF, from: 1 } },
    trusted: ["root"],
    why: "certificate is not yet valid",
  },
  {
    name: "a root that has expired",
    links: { root: { ...ROOT, from: -5, to: -1 }, mx: LEAF },
    trusted: ["root"],
    why: "certificate has expired",
  },
  {
    name: "an intermediate that has expired",
    links: { root: ROOT, middle: { ...MIDDLE, from: -5, to: -1 }, mx: { issuer: "middle", extensions: MX } },
    sent: ["middle"],
    trusted: ["root"],
    why: "certificate has expired",
  },
  {
    name: "a renewed intermediate beside the expired one",
    links: {
      root: ROOT,
      old: { ...MIDDLE, subject: "middle", from: -5, to: -1 },
      middle: { ...MIDDLE, sameKeyAs: "old" },
      mx: { issuer: "middle", extensions: MX },
    },
    sent: ["old", "middle"],
    trusted: ["root"],
    why: "",
  },
  {
    name: "signed by a server's certificate",
    links: {
      root: ROOT,
      server: { issuer: "root", extensions: server("evil.test") },
      mx: { issuer: "server", extensions: MX },
    },
    sent: ["server"],
    trusted: ["root"],
    why: "invalid CA certificate",
  },
  {
    name: "signed by a certificate without basic constraints",
    links: {
      root: ROOT,
      plain: { issuer: "root", extensions: ["subjectAltName=DNS:evil.test"] },
      mx: { issuer: "plain", extensions: MX },
    },
    sent: ["plain"],
    trusted: ["root"],
    why: "invalid CA certificate",
  },
  {
    name: "an authority that may not sign certificates",
    links: {
      root: ROOT,
      middle: {
        issuer: "root",
        extensions: ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,cRLSign"],
      },
      mx: { issuer: "middle", extensions: MX },
    },
    sent: ["middle"],
    trusted: ["root"],
    why: "invalid CA certificate",
  },
  {
    name: "RFC 5280 section 4.2.1.9: a path that is too long for an authority",
    links: {
      root: ROOT,
      a: { issuer: "root", extensions: ["basicConstraints=critical,CA:TRUE,pathlen:0"] },
      b: { issuer: "a", extensions: AUTHORITY },
      mx: { issuer: "b", extensions: MX },
    },
    sent: ["a", "b"],
    trusted: ["root"],
    why: "path length constraint exceeded",
  },
  {
    name: "a path that is as long as the authority allows",
    links: {
      root: ROOT,
      a: { issuer: "root", extensions: ["basicConstraints=critical,CA:TRUE,pathlen:0"] },
      mx: { issuer: "a", extensions: MX },
    },
    sent: ["a"],
    trusted: ["root"],
    why: "",
  },
  {
    name: "for clients only",
    links: { root: ROOT, mx: { issuer: "root", extensions: [...MX, "extendedKeyUsage=clientAuth"] } },
    trusted: ["root"],
    why: "unsuitable certificate purpose",
  },
  {
    name: "for servers and clients",
    links: {
      root: ROOT,
      mx: { issuer: "root", extensions: [...MX, "extendedKeyUsage=clientAuth,serverAuth"] },
    },
    trusted: ["root"],
    why: "",
  },
  {
    name: "an authority for clients only",
    links: {
      root: ROOT,
      middle: { issuer: "root", extensions: [...AUTHORITY, "extendedKeyUsage=clientAuth"] },
      mx: { issuer: "middle", extensions: MX },
    },
    sent: ["middle"],
    trusted: ["root"],
    why: "unsuitable certificate purpose",
  },
  {
    name: "a key that may only sign certificates",
    links: { root: ROOT, mx: { issuer: "root", extensions: [...MX, "keyUsage=critical,keyCertSign"] } },
    trusted: ["root"],
    why: "unsuitable certificate purpose",
  },
  {
    name: "RFC 5280 section 4.2: a critical extension that nobody knows",
    links: { root: ROOT, mx: { issuer: "root", extensions: [...MX, "1.2.3.4.5=critical,ASN1:NULL"] } },
    trusted: ["root"],
    why: "unhandled critical extension",
  },
  {
    name: "an extension that nobody knows and need not",
    links: { root: ROOT, mx: { issuer: "root", extensions: [...MX, "1.2.3.4.5=ASN1:NULL"] } },
    trusted: ["root"],
    why: "",
  },
  {
    name: "a name that the authority may vouch for",
    links: {
      root: { extensions: [...AUTHORITY, "nameConstraints=critical,permitted;DNS:example.test"] },
      mx: LEAF,
    },
    trusted: ["root"],
    why: "",
  },
  {
    name: "RFC 5280 section 4.2.1.10: a name that it may not",
    links: {
      root: { extensions: [...AUTHORITY, "nameConstraints=critical,permitted;DNS:other.test"] },
      mx: LEAF,
    },
    trusted: ["root"],
    why: "permitted subtree violation",
  },
  {
    name: "a name that is excluded",
    links: {
      root: { extensions: [...AUTHORITY, "nameConstraints=critical,excluded;DNS:example.test"] },
      mx: LEAF,
    },
    trusted: ["root"],
    why: "permitted subtree violation",
    openssl: "excluded subtree violation",
  },
  {
    name: "a label that only ends like the constraint",
    links: {
      root: { extensions: [...AUTHORITY, "nameConstraints=critical,permitted;DNS:ample.test"] },
      mx: LEAF,
    },
    trusted: ["root"],
    why: "permitted subtree violation",
  },
  {
    name: "an RSA chain",
    links: { root: { ...ROOT, key: "rsa" }, mx: { ...LEAF, key: "rsa" } },
    trusted: ["root"],
    why: "",
  },
  {
    name: "an RSA chain with SHA-512",
    links: { root: { ...ROOT, key: "rsa", digest: "sha512" }, mx: { ...LEAF, key: "rsa", digest: "sha384" } },
    trusted: ["root"],
    why: "",
  },
  {
    name: "an Ed25519 chain",
    links: { root: { ...ROOT, key: "ed25519" }, mx: { ...LEAF, key: "ed25519" } },
    trusted: ["root"],
    why: "",
  },
  {
    name: "a P-384 chain",
    links: { root: { ...ROOT, key: "secp384r1" }, mx: { ...LEAF, digest: "sha384" } },
    trusted: ["root"],
    why: "",
  },
  {
    name: "signed with SHA-1",
    links: { root: { ...ROOT, key: "rsa" }, mx: { ...LEAF, digest: "sha1" } },
    trusted: ["root"],
    why: "certificate signature failure",
    // Its security level 1, the default of `verify`, still believes SHA-1.
    openssl: "",
  },
  {
    name: "signed with an RSA key of 1024 bits",
    links: { root: { ...ROOT, key: "rsa1024" }, mx: LEAF },
    trusted: ["root"],
    why: "certificate signature failure",
    openssl: "",
  },
];

testNeeding(["openssl"], "chains are judged as openssl judges them", async (t) => {
  for (const one of CASES) {
    await t.step(one.name, () => {
      using chains = new CertificateChains();
      for (const [name, link] of Object.entries(one.links)) chains.make(name, link);
      const sent = one.sent ?? [];
      const read = (name: string) => parseCertificate(chains.der(name));
      const anchors = { certificates: one.trusted.map(read), keys: [] };
      const verdict = verifyChain(["mx", ...sent].map(read), anchors, Date.now(), 9);
      assert.equal(verdict.kind === "trusted" ? "" : verdict.why, one.why);
      assert.equal(chains.judge("mx", sent, one.trusted), one.openssl ?? one.why);
    });
  }
});

testNeeding(["openssl"], "a bare key is an anchor for what it signed, and for nothing else", () => {
  using chains = new CertificateChains();
  chains.make("root", ROOT);
  chains.make("other", ROOT);
  chains.make("mx", LEAF);
  const [root, other, mx] = ["root", "other", "mx"].map((name) => parseCertificate(chains.der(name)));
  const judge = (key: Uint8Array) =>
    verifyChain([mx!], { certificates: [], keys: [key] }, Date.now(), 9).kind;
  assert.equal(judge(root!.key), "trusted");
  assert.equal(judge(other!.key), "untrusted");
});

testNeeding(["openssl"], "the depth counts the authorities between the server and the anchor", () => {
  using chains = new CertificateChains();
  chains.make("root", ROOT);
  chains.make("a", MIDDLE);
  chains.make("b", { issuer: "a", extensions: AUTHORITY });
  chains.make("mx", { issuer: "b", extensions: MX });
  const read = (name: string) => parseCertificate(chains.der(name));
  const judge = (depth: number) =>
    verifyChain(["mx", "b", "a"].map(read), { certificates: [read("root")], keys: [] }, Date.now(), depth)
      .kind;
  assert.equal(judge(1), "untrusted");
  assert.equal(judge(2), "trusted");
});

testNeeding(["openssl"], "a server that sends many issuers of one name costs few signatures", () => {
  using chains = new CertificateChains();
  chains.make("evil", { subject: "middle", extensions: AUTHORITY });
  chains.make("root", ROOT);
  chains.make("mx", { issuer: "evil", extensions: MX });
  const evil = parseCertificate(chains.der("evil"));
  const sent = [parseCertificate(chains.der("mx")), ...Array.from({ length: 2000 }, () => ({ ...evil }))];
  const started = performance.now();
  const anchors = { certificates: [parseCertificate(chains.der("root"))], keys: [] };
  assert.equal(verifyChain(sent, anchors, Date.now(), 9).kind, "untrusted");
  assert.ok(performance.now() - started < 2000);
});

testNeeding(
  ["openssl"],
  "a certificate that is cut at any byte, or changed, is read or refused, never anything else",
  () => {
    using chains = new CertificateChains();
    chains.make("root", ROOT);
    chains.make("mx", LEAF);
    const whole = chains.der("mx");
    for (let end = 0; end < whole.length; end++) {
      assert.throws(() => parseCertificate(whole.subarray(0, end)), DerError);
    }
    const anchors = { certificates: [parseCertificate(chains.der("root"))], keys: [] };
    for (let at = 0; at < whole.length; at++) {
      const changed = whole.slice();
      changed[at]! ^= 1 << (at % 8);
      try {
        assert.equal(
          verifyChain([parseCertificate(changed)], anchors, Date.now(), 9).kind,
          "untrusted",
          `byte ${at}`,
        );
      } catch (error) {
        if (!(error instanceof DerError)) throw error;
      }
    }
  },
);

testNeeding(
  ["openssl"],
  "RFC 5280 section 4.1.1.2: the algorithm inside what is signed is the one outside",
  () => {
    using chains = new CertificateChains();
    chains.make("mx", { extensions: MX });
    const bytes = chains.der("mx").slice();
    // ecdsa-with-SHA256 stands twice; the last arc of the second becomes that of SHA-384.
    const algorithm = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    const places = [...bytes.keys()].filter((at) => algorithm.every((byte, i) => bytes[at + i] === byte));
    assert.equal(places.length, 2);
    bytes[places[1]! + 7] = 0x03;
    assert.throws(() => parseCertificate(bytes), /two signature algorithms/);
  },
);

testNeeding(
  ["openssl"],
  "a file of authorities: its certificates and keys, whatever else stands there",
  () => {
    using chains = new CertificateChains();
    chains.make("root", ROOT);
    const pem = (label: string, bytes: Uint8Array, end: string) => {
      const lines = bytes.toBase64().match(/.{1,64}/g)!;
      return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join(end);
    };
    const der = chains.der("root");
    const { key } = parseCertificate(der);
    const unreadable = pem("CERTIFICATE", key, "\n");
    const text = `Root of all\n${pem("CERTIFICATE", der, "\r\n")}${unreadable}${
      pem("EC PRIVATE KEY", key, "\n")
    }`;
    const { certificates, keys } = parseAnchors(`${text}comment\n${pem("PUBLIC KEY", key, "\n")}`);
    assert.deepEqual(certificates.map((each) => each.key), [key]);
    assert.deepEqual(keys, [key]);
    assert.throws(() => parseAnchors(text.slice(0, -20)), /a part has no end/);
    assert.throws(() => parseAnchors(text.replace("\r\nM", "\r\n!")), /part "CERTIFICATE": it is not base64/);
    assert.throws(
      () => parseAnchors("-----BEGIN X-----\n-----END X-----\n".repeat(5001)),
      /more than 5000 parts/,
    );
  },
);
