/** Our answers beside those of Debian's trivial-rewrite, for generated addresses, over its attr0 socket. */
import assert from "node:assert/strict";
import { quoteAddress } from "../../../lib/mail/address.ts";
import { decodeText, encodeText } from "../../../lib/vstring/byte_builder.ts";
import { makeService } from "./rewrite_fixture.ts";

const ADDRESSES = 400;
const TABLES = {
  virtual_alias_domains: ["alias.test"],
  virtual_mailbox_domains: ["box.test"],
  relay_domains: ["relay.test"],
  inet_interfaces: ["127.0.0.1"],
  proxy_interfaces: ["192.0.2.1"],
  transport_maps: [
    "inline:{slow.test=slow:, nexthop.test=:[gw.test], a@box.test=slow:[gw.test], .relay.test=slow:}",
  ],
  relocated_maps: ["inline:{{moved@mx.test = new@there.test}}"],
  sender_dependent_relayhost_maps: ["inline:{s@x.test=[one.test]:25}"],
};
const WORDS = [
  "a",
  "b",
  "b c",
  "moved",
  "",
  "_",
  "-",
  "é",
  "mx.test",
  "evil.test",
  "relay.test",
  "Box.test",
  "slow.test",
]
  .concat([
    "alias.test",
    "nexthop.test",
    "localhost",
    "LOCAL.test",
    "x.relay.test",
    "1.2.3.4",
    "a_b.test",
    "-x.test",
  ])
  .concat(["[192.0.2.1]", "[192.0.2.2]", "[IPv6:2001:db8::1]", "[1.2.3]", "gone"]);
const OPERATORS = ["@", "@", "@", "@", "!", "%", "%", "."];

const MASTER = `rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
`;

function mainCf(root: string): string {
  const lists = Object.entries(TABLES).map(([name, items]) => `${name} = ${items.join(", ")}`);
  return `compatibility_level = 3.6
queue_directory = ${root}/queue
data_directory = ${root}/data
maillog_file = ${root}/log
maillog_file_prefixes = ${root}
myhostname = mx.test
mydomain = test
myorigin = mx.test
mydestination = mx.test, local.test, localhost
alias_maps =
${lists.join("\n")}
`;
}

function installed(): boolean {
  try {
    return Deno.uid() === 0 && Deno.statSync("/usr/sbin/postfix").isFile;
  } catch {
    return false;
  }
}

async function postfix(root: string, action: "start" | "stop"): Promise<void> {
  await new Deno.Command("/usr/sbin/postfix", {
    args: ["-c", `${root}/conf`, action],
    stderr: "null",
    stdout: "null",
  })
    .output();
}

/** Starts a private Postfix that has no port, only the rewrite service; returns how to end it. */
async function startPostfix(): Promise<{ socket: string; stop: () => Promise<void> }> {
  const root = Deno.makeTempDirSync({ prefix: "postern-rewrite-" });
  Deno.chmodSync(root, 0o755);
  for (const name of ["conf", "queue", "data"]) Deno.mkdirSync(`${root}/${name}`);
  Deno.writeTextFileSync(`${root}/conf/main.cf`, mainCf(root));
  Deno.writeTextFileSync(`${root}/conf/master.cf`, MASTER);
  await new Deno.Command("chown", { args: ["postfix", `${root}/data`] }).output();
  await postfix(root, "start");
  const stop = async () => {
    await postfix(root, "stop");
    Deno.removeSync(root, { recursive: true });
  };
  return { socket: `${root}/queue/private/rewrite`, stop };
}

/** A client of Postfix's attr0 protocol: names and values that end with NUL, an empty name ends the message. */
class Attr0 {
  readonly #conn: Deno.UnixConn;
  #pending = new Uint8Array();

  constructor(conn: Deno.UnixConn) {
    this.#conn = conn;
  }

  static async connect(path: string): Promise<Attr0> {
    for (let attempt = 0;; attempt++) {
      try {
        const client = new Attr0(await Deno.connect({ transport: "unix", path }));
        await client.#read();
        return client;
      } catch (error) {
        if (attempt === 50) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async ask(...attributes: string[]): Promise<[string, string][]> {
    await this.#conn.write(encodeText(attributes.map((text) => `${text}\0`).join("") + "\0"));
    return await this.#read();
  }

  close(): void {
    this.#conn.close();
  }

  async #read(): Promise<[string, string][]> {
    const attributes: [string, string][] = [];
    for (let at = 0;;) {
      const nameEnd = this.#pending.indexOf(0, at);
      if (nameEnd === at) {
        this.#pending = this.#pending.slice(at + 1);
        return attributes;
      }
      const valueEnd = nameEnd < 0 ? -1 : this.#pending.indexOf(0, nameEnd + 1);
      if (valueEnd < 0) {
        await this.#more();
        continue;
      }
      const text = (from: number, to: number) => decodeText(this.#pending.subarray(from, to));
      attributes.push([text(at, nameEnd), text(nameEnd + 1, valueEnd)]);
      at = valueEnd + 1;
    }
  }

  async #more(): Promise<void> {
    const chunk = new Uint8Array(8192);
    const count = await this.#conn.read(chunk);
    if (count === null) throw new Error("Cannot read from Postfix: it closed the connection");
    const grown = new Uint8Array(this.#pending.length + count);
    grown.set(this.#pending);
    grown.set(chunk.subarray(0, count), this.#pending.length);
    this.#pending = grown;
  }
}

const CLASSES = new Map([[256, "local"], [512, "alias"], [1024, "virtual"], [2048, "relay"], [
  4096,
  "default",
]]);

/** Postfix's resolution on one line; nothing but "bad" for a bad address. */
function theirs(reply: [string, string][]): string {
  const value = (name: string) => reply.find(([key]) => key === name)?.[1] ?? "";
  const flags = Number(reply.at(-1)?.[1]);
  if (flags & 4) return "bad";
  // Postfix leaves the domain in a next hop as it was written; qmgr folds it.
  const fields = [value("transport"), value("nexthop").toLowerCase(), value("recipient")];
  return [...fields, CLASSES.get(flags & 0x1f00), (flags & 2) !== 0].join(" | ");
}

Deno.test({
  name: "Debian's trivial-rewrite gives the same answers to generated addresses",
  ignore: !installed(),
  fn: async () => {
    const { service } = makeService(TABLES);
    let state = 20261123;
    const random = (most: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % most;
    const pick = (from: readonly string[]) => from[random(from.length)]!;
    const make = () =>
      Array.from({ length: random(4) }, () => pick(WORDS) + pick(OPERATORS)).join("") + pick(WORDS);
    const { socket, stop } = await startPostfix();
    try {
      const client = await Attr0.connect(socket);
      let good = 0;
      for (let round = 0; round < ADDRESSES; round++) {
        const address = make();
        const sender = random(3) === 0 ? "s@x.test" : "";
        const reply = await client.ask("request", "resolve", "sender", sender, "address", address);
        const answer = await service.resolve(sender, address);
        assert.ok(answer.kind === "resolved");
        const { transport, nexthop, recipient, class: kind, routed, bad } = answer.resolution;
        const ours = bad ? "bad" : [transport, nexthop.toLowerCase(), recipient, kind, routed].join(" | ");
        if (!bad) good++;
        // Stricter on purpose: no empty local part, no domain that ends in a number, no mending of blanks in one.
        const domain = recipient.slice(recipient.lastIndexOf("@") + 1);
        const stricter = bad && (recipient.startsWith("@") || / |\.[0-9]+$/.test(domain));
        if (!stricter) assert.equal(ours, theirs(reply), JSON.stringify(address));
      }
      assert.ok(good > ADDRESSES / 4);
      for (let round = 0; round < ADDRESSES; round++) {
        const address = make();
        // Postfix tokenises a domain and writes it anew; one with blanks or an empty local part comes out otherwise.
        if (address.startsWith("@") || address.slice(address.lastIndexOf("@")).includes(" ")) continue;
        const external = quoteAddress(address);
        const reply = await client.ask("request", "rewrite", "rule", "local", "address", external);
        assert.equal(
          service.rewrite("local", external),
          reply.find(([name]) => name === "address")?.[1],
          external,
        );
      }
      client.close();
    } finally {
      await stop();
    }
  },
});
