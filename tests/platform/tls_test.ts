/** What Deno's TLS does on the server's side: the ground that lib/safe/tls_server.ts stands on (PLATFORM.md). @module */
import assert from "node:assert/strict";
import net from "node:net";
import tls from "node:tls";
import { Certificate } from "../../lib/safe/certificate.ts";
import type { Channel } from "../../lib/safe/channel.ts";
import { Channel as SafeChannel } from "../../lib/safe/channel.ts";
import { TlsServer, type TlsServerOptions, type TlsSession } from "../../lib/safe/tls_server.ts";
import { Certificates, type MadeCertificate } from "../support/certificates.ts";
import { runProgram } from "../support/postern.ts";
import { testNeeding } from "../support/tools.ts";

const NOTHING = new Uint8Array(0);

function identity(made: MadeCertificate) {
  return { key: Deno.readTextFileSync(made.key), chain: Deno.readTextFileSync(made.certificate) };
}

/** A server that does a handshake with whoever connects, some time later, and says hello. */
class Handshaker implements Disposable {
  readonly sessions: TlsSession[] = [];
  readonly failures: string[] = [];
  readonly received: string[] = [];
  readonly ends: string[] = [];
  readonly #server: net.Server;
  port = 0;

  private constructor(options: TlsServerOptions, delay: number, early: boolean) {
    const server = new TlsServer(options);
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const channel = new SafeChannel(socket);
      let read: Uint8Array = NOTHING;
      if (early) channel.start({ data: (bytes) => void (read = bytes.slice()), closed: () => {} });
      setTimeout(() =>
        server.accept(channel, read, {
          secure: (secure, session) => this.#greet(secure, session),
          failed: (why) => this.failures.push(why),
        }), delay);
    });
  }

  static async start(options: Partial<TlsServerOptions>, one: MadeCertificate, delay = 0, early = false) {
    const whole: TlsServerOptions = {
      identity: identity(one),
      oldest: "TLSv1.2",
      newest: "TLSv1.3",
      asksCertificate: false,
      authorities: "",
      ...options,
    };
    const made = new Handshaker(whole, delay, early);
    await new Promise<void>((resolve) => made.#server.listen(0, "127.0.0.1", resolve));
    made.port = (made.#server.address() as net.AddressInfo).port;
    return made;
  }

  #greet(channel: Channel, session: TlsSession): void {
    this.sessions.push(session);
    channel.start({
      data: (bytes) => {
        this.received.push(new TextDecoder().decode(bytes));
        channel.write(new TextEncoder().encode("got it\n"));
      },
      ended: () => {
        this.ends.push("ended");
        channel.write(new TextEncoder().encode("after your end\n"));
        channel.finish();
      },
      closed: (why) => this.ends.push(why ?? "closed"),
    });
    channel.write(new TextEncoder().encode("hello\n"));
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}

/** Its standard input ends when the server has said hello, or when it has ended itself. */
const S_CLIENT = `out=$(mktemp)
(for i in $(seq 400); do sleep 0.05; grep -q hello "$out" && break; [ -e "$out.over" ] && break; done) |
  (timeout 30 openssl s_client -connect "127.0.0.1:$0" "$@" >"$out" 2>&1; : >"$out.over")
cat "$out"; rm -f "$out" "$out.over"`;

/** What openssl's client comes to: all of its output. */
async function sClient(port: number, ...args: string[]): Promise<string> {
  return (await runProgram("sh", ["-c", S_CLIENT, String(port), ...args])).output;
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(done());
}

testNeeding(
  ["openssl"],
  "tls: versions are kept to, of the names by SNI too, and older ones are refused",
  async () => {
    using made = new Certificates();
    const [one, named] = [made.make("one.test"), made.make("named.test")];
    const second = identity(named);
    using server = await Handshaker.start({
      newest: "TLSv1.2",
      identityFor: (name) => name === "named.test" ? second : undefined,
    }, one);
    assert.match(await sClient(server.port), /CN = one\.test[^]*New, TLSv1\.2, Cipher is ECDHE-ECDSA-AES/);
    assert.match(
      await sClient(server.port, "-servername", "named.test"),
      /CN = named\.test[^]*New, TLSv1\.2/,
    );
    assert.match(await sClient(server.port, "-servername", "other.test"), /CN = one\.test[^]*New, TLSv1\.2/);
    assert.deepEqual(server.sessions.map(({ serverName }) => serverName), ["", "named.test", "other.test"]);
    assert.match(await sClient(server.port, "-tls1_3"), /alert protocol version/);
    assert.match(await sClient(server.port, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), /New, \(NONE\)/);
    await until(() => server.failures.length === 2);
    using newest = await Handshaker.start({ oldest: "TLSv1.3" }, one);
    assert.match(await sClient(newest.port), /New, TLSv1\.3, Cipher is TLS_AES_256_GCM_SHA384/);
    assert.match(await sClient(newest.port, "-tls1_2"), /alert protocol version/);
  },
);

testNeeding(
  ["openssl"],
  "tls: a certificate counts only with a proof of its key, and is trusted only by our authorities",
  async () => {
    using made = new Certificates();
    const authority = made.make("authority", { authority: true });
    const server = made.make("server.test", { kind: "rsa" });
    const trusted = made.make("trusted.test", { issuer: authority });
    const old = made.make("old.test", { issuer: authority, days: -2 });
    const own = made.make("own.test");
    const authorities = Deno.readTextFileSync(authority.certificate);
    for (const version of ["-tls1_2", "-tls1_3"]) {
      using asking = await Handshaker.start({ asksCertificate: true, authorities }, server);
      const present = ({ key, certificate }: MadeCertificate) =>
        sClient(asking.port, version, "-cert", certificate, "-key", key);
      assert.match(await present(trusted), /hello/);
      assert.match(await present(own), /hello/);
      assert.match(await present(old), /hello/);
      assert.match(await sClient(asking.port, version), /hello/);
      const fingerprint = new Certificate(Deno.readTextFileSync(trusted.certificate)).fingerprint("sha256");
      assert.deepEqual(
        asking.sessions.map((one) => [one.certificate?.subjectName, one.trusted]),
        [["trusted.test", true], ["own.test", false], ["old.test", false], [undefined, false]],
      );
      assert.equal(asking.sessions[0]!.certificate!.fingerprint("sha256"), fingerprint);
      assert.equal(asking.sessions[0]!.certificate!.issuerName, "authority");
      // Another's certificate without its key: the signature over the handshake is wrong.
      const lie = made.falseKey(trusted, "lie");
      assert.doesNotMatch(await present({ ...trusted, key: lie }), /hello/);
      await until(() => asking.failures.length === 1);
      assert.equal(asking.sessions.length, 4);
    }
    // No authorities: nobody is trusted, although the runtime knows those of the web.
    using none = await Handshaker.start({ asksCertificate: true }, server);
    await sClient(none.port, "-cert", trusted.certificate, "-key", trusted.key);
    assert.deepEqual(none.sessions.map((one) => one.trusted), [false]);
    // What is not asked for is not seen.
    using plain = await Handshaker.start({}, server);
    await sClient(plain.port, "-cert", trusted.certificate, "-key", trusted.key);
    assert.deepEqual(plain.sessions.map((one) => one.certificate), [undefined]);
  },
);

testNeeding(
  ["openssl"],
  "tls: a session is resumed with the certificate that it began with",
  async () => {
    using made = new Certificates();
    const [server, client] = [made.make("server.test"), made.make("client.test")];
    const ticket = made.directory.at("ticket");
    for (const version of ["-tls1_2", "-tls1_3"]) {
      using asking = await Handshaker.start({ asksCertificate: true }, server);
      const as = ["-cert", client.certificate, "-key", client.key];
      await sClient(asking.port, version, ...as, "-sess_out", ticket);
      assert.match(await sClient(asking.port, version, "-sess_in", ticket), /\nReused, TLSv1/);
      assert.deepEqual(
        asking.sessions.map((one) => [one.resumed, one.certificate?.subjectName]),
        [[false, "client.test"], [true, "client.test"]],
      );
    }
  },
);

testNeeding(
  ["openssl"],
  "tls: what came before the handshake began belongs to it, read already or not",
  async () => {
    using made = new Certificates();
    const one = made.make("one.test");
    for (const early of [false, true]) {
      using server = await Handshaker.start({}, one, 300, early);
      assert.match(await sClient(server.port), /hello/, `read early: ${early}`);
    }
  },
);

testNeeding(
  ["openssl"],
  "tls: a handshake that is garbage, cut off or not begun comes to a failure, told once",
  async () => {
    using made = new Certificates();
    using server = await Handshaker.start({}, made.make("one.test"));
    const send = async (bytes: Uint8Array, reset = false) => {
      const before = server.failures.length;
      const client = net.connect(server.port, "127.0.0.1");
      await new Promise<void>((resolve) => client.once("connect", () => resolve()));
      client.on("error", () => {});
      client.write(bytes);
      if (reset) client.resetAndDestroy();
      else client.end();
      await until(() => server.failures.length > before);
      client.destroy();
    };
    await send(new TextEncoder().encode("EHLO in the clear\r\n"));
    await send(NOTHING);
    await send(new Uint8Array([0x16, 0x03, 0x01]));
    await send(new Uint8Array([0x16, 0x03, 0x01, 0x40, 0x00]), true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(server.failures.length, 4);
    assert.deepEqual(server.sessions, []);
  },
);

testNeeding(
  ["openssl"],
  "tls: a client may end its side and still reads; one that is cut off ends the channel",
  async () => {
    using made = new Certificates();
    using server = await Handshaker.start({}, made.make("one.test"));
    const connect = (): Promise<tls.TLSSocket> =>
      new Promise((resolve) => {
        const socket = tls.connect(
          { port: server.port, host: "127.0.0.1", rejectUnauthorized: false },
          () => resolve(socket),
        );
        socket.on("error", () => {});
      });
    const client = await connect();
    let text = "";
    client.on("data", (bytes: Uint8Array) => text += new TextDecoder().decode(bytes));
    client.write("last words");
    client.end();
    await until(() => text.includes("after your end"));
    assert.deepEqual(server.received, ["last words"]);
    assert.equal(server.ends[0], "ended");
    await until(() => server.ends.length === 2);
    const cut = await connect();
    cut.destroy();
    await until(() => server.ends.length === 2);
  },
);

testNeeding(
  ["openssl"],
  "tls: names of certificates come as they are, a line end in one is no other name",
  () => {
    using made = new Certificates();
    const { certificate } = made.make("x", {
      commonName: "x)\\r\\nX-Inj: 1\\nCN=evil",
      hosts: ["x.test", "*.w.test"],
    });
    const read = new Certificate(Deno.readTextFileSync(certificate));
    assert.equal(read.subjectName, "x)\r\nX-Inj: 1\nCN=evil");
    const hosts = ["x.test", "X.TEST", "a.w.test", "a.b.w.test", "w.test", "y.test", "evil", ""];
    assert.deepEqual(hosts.filter((host) => read.isFor(host)), ["x.test", "X.TEST", "a.w.test"]);
  },
);

testNeeding(
  ["openssl"],
  "tls: a channel that is paused stops its peer, and goes on where it stopped",
  async () => {
    using made = new Certificates();
    const one = made.make("one.test");
    const server = new TlsServer({
      identity: identity(one),
      oldest: "TLSv1.2",
      newest: "TLSv1.3",
      asksCertificate: false,
      authorities: "",
    });
    const total = 60_000_000;
    let received = 0;
    let paused: Channel | undefined;
    const over = Promise.withResolvers<void>();
    const listener = net.createServer(
      { allowHalfOpen: true },
      (socket) =>
        void server.accept(new SafeChannel(socket), NOTHING, {
          secure: (channel) =>
            channel.start({
              data: (bytes) => {
                received += bytes.length;
                if (paused !== undefined || received < 1_000_000) return;
                paused = channel;
                channel.pause();
              },
              ended: () => {
                channel.finish();
                over.resolve();
              },
              closed: () => over.resolve(),
            }),
          failed: (why) => over.reject(new Error(why)),
        }),
    );
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port } = listener.address() as net.AddressInfo;
    const client = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    client.on("error", () => {});
    client.resume();
    const chunk = new Uint8Array(1_000_000);
    const send = async () => {
      for (let sent = 0; sent < total; sent += chunk.length) {
        if (!client.write(chunk)) await new Promise((resolve) => client.once("drain", resolve));
      }
      client.end();
    };
    const sending = send();
    await until(() => paused !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const before = received;
    // What had been read already, and what the system keeps for a connection; not all that the client has.
    assert.ok(before < total / 2, `${before} of ${total} bytes`);
    assert.ok(client.writableLength > 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(received, before);
    paused!.resume();
    await Promise.all([sending, over.promise]);
    assert.equal(received, total);
    listener.close();
    client.destroy();
  },
);
