/** A mail system with postscreen in front, and block lists of a test's own. Not a test itself. @module */
import { createSocket, type Socket } from "node:dgram";
import { Postern } from "../../support/postern.ts";

const SERVICES = `
[[service]]
name = "smtpd"
type = "pass"
command = "smtpd"
process_limit = 1

[[service]]
name = "dnsblog"
type = "unix"
command = "dnsblog"

[[service]]
name = "proxywrite"
type = "unix"
command = "proxywrite"
`;

/** postscreen in the place of smtpd, and what it works with behind it. */
export function withPostscreen(masterToml: string): string {
  return masterToml.replace('command = "smtpd"', 'command = "postscreen"') + SERVICES;
}

/** Settings that make a stranger of every client, and let it wait for a second. */
export const STRANGERS: Readonly<Record<string, string>> = {
  mynetworks: '["192.0.2.0/24"]',
  smtpd_client_event_limit_exceptions: "[]",
  postscreen_greet_wait: '"1s"',
  notify_classes: "[]",
};

/** A system with postscreen in front. */
export function screened(settings: Readonly<Record<string, string>> = {}): Promise<Postern> {
  return Postern.start({ settings: { ...STRANGERS, ...settings }, services: withPostscreen });
}

/** What postscreen has logged, without time, host and number of the process. */
export function screenLog(system: { log(): string }): string[] {
  return system.log().split("\n").flatMap((line) => {
    const text = /postscreen\[\d+\]: (.*)$/.exec(line)?.[1];
    return text === undefined ? [] : [text];
  });
}

/** A resolver that has the addresses of some names, and knows that others do not exist. */
export class ListServer implements AsyncDisposable {
  readonly #socket: Socket = createSocket("udp4");
  readonly #names: Readonly<Record<string, string>>;
  readonly port: Promise<number>;
  /** Names that were asked for. */
  readonly asked: string[] = [];

  /** @param names addresses by name; an empty one is never answered */
  constructor(names: Readonly<Record<string, string>>) {
    this.#names = names;
    this.#socket.on("message", (query, from) => {
      const reply = this.#answer(query);
      if (reply !== undefined) this.#socket.send(reply, from.port, from.address);
    });
    this.port = new Promise((resolve) => {
      this.#socket.bind(0, "127.0.0.1", () => resolve(this.#socket.address().port));
    });
  }

  /** RFC 1035 section 4.1: the question again, and behind it the record, if there is one. */
  #answer(query: Uint8Array): Uint8Array | undefined {
    const labels: string[] = [];
    let end = 12;
    for (; query[end] !== 0; end += query[end]! + 1) {
      labels.push(new TextDecoder().decode(query.subarray(end + 1, end + 1 + query[end]!)));
    }
    const name = labels.join(".").toLowerCase();
    this.asked.push(name);
    const address = this.#names[name];
    if (address === "") return undefined;
    const record = address === undefined
      ? []
      : [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 90, 0, 4, ...address.split(".").map(Number)];
    const flags = [0x81, address === undefined ? 0x83 : 0x80];
    const counts = [0, 1, 0, record.length === 0 ? 0 : 1, 0, 0, 0, 0];
    return Uint8Array.from([
      ...query.subarray(0, 2),
      ...flags,
      ...counts,
      ...query.subarray(12, end + 5),
      ...record,
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}
