/**
 * What the scheduler of qmgr costs: messages per second of processor time, without agents, files and waiting.
 *
 * `deno run -A bench/scheduling.ts`
 *
 * @module
 */
import process from "node:process";
import { Transport } from "../daemons/qmgr/qmgr_transport.ts";
import type { ActiveMessage } from "../daemons/qmgr/qmgr_message.ts";
import type { IpcClient } from "../lib/ipc/client.ts";
import type { EnvelopeRecipient } from "../lib/mail/queue_file.ts";
import type { DELIVERY } from "../lib/proto/protocols.ts";
import { DEFAULT_RULES } from "../tests/daemons/qmgr/qmgr_support.ts";

const MESSAGES = 300_000;
const RUNS = 9;
const ENVELOPE = {
  attributes: new Map(),
  size: { dataOffset: 0, contentLength: 0, sendOptions: 0 },
  sender: "from@example.test",
  envelopeId: "",
  verp: "",
  ret: 0,
  arrivalTime: 0,
};
const RECIPIENT: EnvelopeRecipient = {
  offset: 100,
  address: "to@example.test",
  originalRecipient: "",
  dsnOriginalRecipient: "",
  notify: 0,
};

type Reply = (reply: never) => void;

/** A transport whose agent is asked to answer all that it has in hand at once. */
class Load {
  #inHand: Reply[] = [];
  #settled = 0;
  readonly #transport: Transport;

  constructor() {
    const client: Pick<IpcClient<typeof DELIVERY>, "open"> = {
      open: (onReply) => ({
        send: () => void this.#inHand.push(onReply),
        ready: () => true,
        drained: () => Promise.resolve(),
        cancel: () => {},
      }),
    };
    this.#transport = new Transport("smtp", client, DEFAULT_RULES, {
      destination: 300_000,
      transport: 60_000,
    }, {
      settled: () => void this.#settled++,
      unsettled: () => {},
      died: () => {},
      givenUp: () => {},
      refill: () => {},
      clogged: () => {},
    });
  }

  /** Has so many messages delivered, `width` at a time, and tells how many go into a second of processor time. */
  async run(width: number, destination: (n: number) => string): Promise<number> {
    const end = this.#settled + MESSAGES;
    const begun = process.cpuUsage();
    for (let n = 0; this.#settled < end;) {
      for (let i = 0; i < width; i++) this.#post(n, destination(n++));
      await Promise.resolve();
      const replies = this.#inHand;
      this.#inHand = [];
      for (const reply of replies) {
        reply({ is: "recipient", offset: RECIPIENT.offset, result: "sent" } as never);
        reply({ is: "finished", site: "", siteStatus: "" } as never);
      }
    }
    const { user, system } = process.cpuUsage(begun);
    return MESSAGES / ((user + system) / 1e6);
  }

  #post(n: number, destination: string): void {
    const message = {
      id: "A1",
      envelope: ENVELOPE,
      since: n,
      refilledAt: 0,
      jobs: undefined,
      outstanding: 1,
      hasMore: false,
      unread: 0,
    } as unknown as ActiveMessage;
    this.#transport.add(this.#transport.queue(destination, destination), message, RECIPIENT);
  }
}

const names = Array.from({ length: 1000 }, (_, n) => `d${n}.test`);
for (
  const [name, width, destination] of [
    ["one at a time, to one destination", 1, () => "example.test"],
    ["20 at a time, to one destination", 20, () => "example.test"],
    ["20 at a time, to 1000 destinations", 20, (n: number) => names[n % names.length]!],
  ] as const
) {
  const load = new Load();
  await load.run(width, destination);
  const runs: number[] = [];
  for (let i = 0; i < RUNS; i++) runs.push(await load.run(width, destination));
  runs.sort((a, b) => a - b);
  const median = Math.round(runs[RUNS >> 1]!).toLocaleString("en");
  console.log(`${name}: ${median} messages per second of processor time`);
}
