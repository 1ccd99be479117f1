/** When a policy is fetched, kept, believed: RFC 8461. @module */
import assert from "node:assert/strict";
import { StsService } from "../../../daemons/sts/sts_service.ts";
import { StsStore } from "../../../daemons/sts/sts_store.ts";
import type { DnsAnswer, DnsLookup, DnsQueryType } from "../../../lib/proto/dns_client.ts";
import { parseCertificate } from "../../../lib/tls/client_certificate.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";

const POLICY = (mode: string) => `version: STSv1\nmode: ${mode}\nmx: mx.sts.test\nmax_age: 604800\n`;

/** A web server, a zone and a clock that a test changes as it goes. */
class World implements AsyncDisposable {
  readonly #chains = new CertificateChains();
  readonly #directory = new TemporaryDirectory();
  readonly #web: Deno.HttpServer<Deno.NetAddr>;
  readonly warnings: string[] = [];
  answer: () => Response = () =>
    new Response(POLICY("enforce"), { headers: { "content-type": "text/plain" } });
  record: string | undefined = "v=STSv1; id=one";
  asked = 0;
  time = 1_000_000;

  constructor() {
    this.#chains.make("root", { extensions: AUTHORITY });
    this.#chains.make("web", { issuer: "root", extensions: server("mta-sts.sts.test") });
    const [key, cert] = [this.#chains.key("web"), this.#chains.path("web")].map((path) =>
      Deno.readTextFileSync(path)
    );
    const options = { hostname: "127.0.0.1", port: 0, key: key!, cert: cert!, onListen: () => {} };
    this.#web = Deno.serve(options, () => {
      this.asked++;
      return this.answer();
    });
  }

  /** A daemon that has just started. */
  service(): StsService {
    const log = { warning: (text: string) => void this.warnings.push(text), info: () => {} };
    return new StsService({
      dns: this.#dns(),
      store: new StsStore(this.#directory.path, log.warning),
      log: log as unknown as ConstructorParameters<typeof StsService>[0]["log"],
      anchors: { certificates: [parseCertificate(this.#chains.der("root"))], keys: [] },
      port: this.#web.addr.port,
      trusted: ["127.0.0.1"],
      now: () => this.time,
    });
  }

  #dns(): DnsLookup {
    const query = (name: string, type: DnsQueryType): Promise<DnsAnswer> => {
      const value = type === "TXT" && name === "_mta-sts.sts.test"
        ? this.record
        : type === "A" && name === "mta-sts.sts.test"
        ? "127.0.0.1"
        : undefined;
      const record = { priority: 0, weight: 0, port: 0, value: value ?? "", data: new Uint8Array(0) };
      const records = value === undefined ? [] : [record];
      return Promise.resolve({
        rcode: value === undefined ? "nxdomain" : "ok",
        authenticated: false,
        ttl: 1,
        canonicalName: name,
        records,
      });
    };
    return { query };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#web.shutdown();
    this.#chains[Symbol.dispose]();
    this.#directory[Symbol.dispose]();
  }
}

testNeeding(
  ["openssl"],
  "a policy is fetched once for many, and again when its id changes or a day is over",
  async () => {
    await using world = new World();
    const service = world.service();
    const modes = await Promise.all(Array.from({ length: 20 }, () => service.find("sts.test")));
    assert.deepEqual([...new Set(modes.map(({ mode }) => mode))], ["enforce"]);
    assert.equal(world.asked, 1);
    await service.find("STS.test".toLowerCase());
    assert.equal(world.asked, 1);
    world.answer = () => new Response(POLICY("testing"), { headers: { "content-type": "text/plain" } });
    assert.equal((await service.find("sts.test")).mode, "enforce");
    world.record = "v=STSv1; id=two";
    assert.equal((await service.find("sts.test")).mode, "testing");
    assert.equal(world.asked, 2);
    world.time += 86_401;
    await service.find("sts.test");
    assert.equal(world.asked, 3);
  },
);

testNeeding(
  ["openssl"],
  "RFC 8461 section 5.1: a policy counts on without its record and its web server, until its time is over",
  async () => {
    await using world = new World();
    assert.equal((await world.service().find("sts.test")).mode, "enforce");
    world.record = undefined;
    assert.equal((await world.service().find("sts.test")).mode, "enforce");
    world.record = "v=STSv1; id=two";
    world.answer = () => new Response("gone", { status: 404 });
    assert.equal((await world.service().find("sts.test")).mode, "enforce");
    world.time += 604_799;
    assert.equal((await world.service().find("sts.test")).mode, "enforce");
    world.time += 2;
    assert.equal((await world.service().find("sts.test")).mode, "none");
  },
);

testNeeding(
  ["openssl"],
  "RFC 8461 section 3.3: only 200 and text are a policy, no redirect is followed, a failure is not repeated at once",
  async () => {
    const headers = { "content-type": "text/plain" };
    for (
      const answer of [
        () => new Response(POLICY("enforce"), { status: 404, headers }),
        () => new Response(null, { status: 302, headers: { location: "https://mta-sts.sts.test/" } }),
        () => new Response(POLICY("enforce"), { headers: { "content-type": "text/html" } }),
        () => new Response("<html>", { headers }),
        () => new Response("x".repeat(70_000), { headers }),
      ]
    ) {
      await using world = new World();
      world.answer = answer;
      const service = world.service();
      assert.equal((await service.find("sts.test")).mode, "none");
      assert.equal((await service.find("sts.test")).mode, "none");
      assert.equal(world.asked, 1);
      assert.equal(world.warnings.length, 1);
      world.time += 301;
      await service.find("sts.test");
      assert.equal(world.asked, 2);
    }
  },
);

testNeeding(["openssl"], "a damaged file is no policy, and what is over is removed", async () => {
  await using world = new World();
  using directory = new TemporaryDirectory();
  directory.write("broken.test", "not a policy at all");
  directory.write("short.test", "one");
  directory.write("old.test", `one 5\n${POLICY("enforce")}`);
  directory.write("good.test", `one ${world.time}\n${POLICY("enforce")}`);
  const warnings: string[] = [];
  const store = new StsStore(directory.path, (text) => warnings.push(text));
  assert.equal(store.find("broken.test", world.time), undefined);
  assert.equal(store.find("good.test", world.time)?.policy.mode, "enforce");
  assert.equal(store.find("../good.test", world.time), undefined);
  store.purge(world.time);
  assert.deepEqual([...Deno.readDirSync(directory.path)].map(({ name }) => name), ["good.test"]);
});
