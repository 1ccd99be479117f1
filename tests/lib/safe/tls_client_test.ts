/**
 * The client's side of TLS against `openssl s_server`: what a handshake proves, and what ends one.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Connection, connectTcp, NetworkError } from "../../../lib/safe/connect.ts";
import { startTls, TlsError, type TlsHandshake } from "../../../lib/safe/tls_client.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { OpensslServer } from "../../support/openssl_server.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

const OPTIONS = { serverName: "mx.example.test", least: "TLSv1.2", most: "TLSv1.3" } as const;

function makeChains(): CertificateChains {
  const chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  chains.make("mx", { issuer: "root", extensions: server("mx.example.test") });
  return chains;
}

async function shake(port: number, options: Partial<typeof OPTIONS> = {}): Promise<TlsHandshake> {
  using connection = await connectTcp("127.0.0.1", port, 5000);
  return await startTls(connection, { ...OPTIONS, ...options }, 10_000);
}

async function readLine(connection: Connection): Promise<string> {
  const buffer = new Uint8Array(100);
  let text = "";
  while (!text.endsWith("\n")) {
    const count = await connection.read(buffer);
    if (count === null) return `${text}[end]`;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text;
}

testNeeding(
  ["openssl"],
  "certificates come as the server sent them, and the connection goes on encrypted",
  async () => {
    using chains = makeChains();
    const port = freePort();
    await using openssl = await OpensslServer.start(port, [
      ...[
        "-cert",
        chains.path("mx"),
        "-key",
        chains.key("mx"),
        "-cert_chain",
        chains.bundle("sent", "root"),
        "-rev",
      ],
    ]);
    for (
      const [version, cipher] of [["TLSv1.3", "TLS_AES_256_GCM_SHA384"], [
        "TLSv1.2",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
      ]]
    ) {
      const connection = await connectTcp("127.0.0.1", port, 5000);
      const handshake = await startTls(connection, { ...OPTIONS, most: version as "TLSv1.2" }, 10_000);
      assert.deepEqual([handshake.version, handshake.cipher], [version, cipher]);
      assert.deepEqual(handshake.chain, [chains.der("mx"), chains.der("root")]);
      await connection.write(new TextEncoder().encode("hello\n"));
      assert.equal(await readLine(connection), "olleh\n");
      connection.close();
    }
    assert.ok(openssl.running);
  },
);

testNeeding(
  ["openssl"],
  "a server that does not have the key of the certificate that it shows is refused, in either version",
  async () => {
    using chains = makeChains();
    for (const version of ["tls1_3", "tls1_2"]) {
      const port = freePort();
      await using _server = await OpensslServer.start(port, [
        ...["-cert", chains.path("mx"), "-key", chains.falseKey("mx"), `-${version}`],
      ]);
      await assert.rejects(shake(port), TlsError);
    }
    // With its key the same server is taken, so that it is the key that was missed.
    const port = freePort();
    await using _server = await OpensslServer.start(port, [
      "-cert",
      chains.path("mx"),
      "-key",
      chains.key("mx"),
    ]);
    assert.equal((await shake(port)).chain.length, 1);
  },
);

testNeeding(
  ["openssl"],
  "CRT-16: a server with old versions only, or with ciphers that nobody should use, is refused",
  async () => {
    using chains = makeChains();
    const identity = ["-cert", chains.path("mx"), "-key", chains.key("mx")];
    for (
      const options of [
        ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
        ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"],
      ]
    ) {
      const port = freePort();
      await using _server = await OpensslServer.start(port, [...identity, ...options]);
      await assert.rejects(shake(port), TlsError, options.join(" "));
    }
  },
);

testNeeding(["openssl"], "the versions that are wanted are the only ones", async () => {
  using chains = makeChains();
  const port = freePort();
  const identity = ["-cert", chains.path("mx"), "-key", chains.key("mx")];
  await using _server = await OpensslServer.start(port, [...identity, "-tls1_2"]);
  assert.equal((await shake(port)).version, "TLSv1.2");
  const connection = await connectTcp("127.0.0.1", port, 5000);
  await assert.rejects(startTls(connection, { ...OPTIONS, least: "TLSv1.3" }, 10_000), TlsError);
  connection.close();
});

testNeeding(["openssl"], "the client shows its certificate to a server that asks", async () => {
  using chains = makeChains();
  chains.make("client", { issuer: "root", extensions: ["basicConstraints=CA:FALSE"] });
  const port = freePort();
  await using openssl = await OpensslServer.start(port, [
    ...["-cert", chains.path("mx"), "-key", chains.key("mx"), "-Verify", "3", "-verify_return_error"],
    ...["-CAfile", chains.path("root"), "-rev"],
  ]);
  const identity = {
    chain: Deno.readTextFileSync(chains.path("client")),
    key: Deno.readTextFileSync(chains.key("client")),
  };
  const connection = await connectTcp("127.0.0.1", port, 5000);
  await startTls(connection, { ...OPTIONS, identity }, 10_000);
  await connection.write(new TextEncoder().encode("me\n"));
  assert.equal(await readLine(connection), "em\n");
  connection.close();
  assert.ok(openssl.running);
});

Deno.test("what is no TLS, or stops, ends the handshake", async () => {
  for (const behave of ["220 plain text\r\n", "close", "silent"]) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serving = (async () => {
      const connection = await listener.accept();
      await connection.read(new Uint8Array(4096));
      if (behave !== "silent" && behave !== "close") await connection.write(new TextEncoder().encode(behave));
      if (behave === "silent") await connection.read(new Uint8Array(4096)).catch(() => null);
      connection.close();
    })();
    using connection = await connectTcp("127.0.0.1", (listener.addr as Deno.NetAddr).port, 5000);
    const started = startTls(connection, OPTIONS, behave === "silent" ? 200 : 10_000);
    await assert.rejects(started, behave === "silent" ? NetworkError : TlsError, behave);
    connection.close();
    await serving;
    listener.close();
  }
});
