/**
 * One hostile conversation after which the same client delivers to the same server, which behaves then: the attack has
 * its outcome, in time, and the next message is not harmed. Not a test itself.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { ClientPolicy } from "../../../lib/smtp/client_policy.ts";
import { type Delivered, makeBench, POLICY, waits } from "../../lib/smtp/delivery_bench.ts";
import { fakeServer, type Script } from "../../lib/smtp/fake_server.ts";

/** What each wait for the server may take, milliseconds; honest servers of a loaded machine need some of it. */
export const PATIENCE = 1500;
/** Conversations at once. */
const AT_ONCE = 20;

/** One attack. */
export interface Attack {
  readonly name: string;
  readonly script: Script;
  readonly to?: readonly string[];
  readonly lmtp?: true;
  readonly policy?: Partial<ClientPolicy>;
}

/** What came of it. */
export interface Outcome {
  /** "result status" of each recipient in order. */
  readonly results: readonly string[];
  readonly reasons: readonly string[];
  readonly site: string;
  /** How long it took, milliseconds. */
  readonly took: number;
  /** Messages that the server took in the attack itself. */
  readonly texts: number;
  /** Bytes that the server said in the attack. */
  readonly said: number;
}

/** Plays an attack. Throws when the message behind it is not delivered. */
export async function play({ script, to = ["r@d.test"], lmtp, policy = {} }: Attack): Promise<Outcome> {
  const honest: Script = lmtp ? { lmtp } : {};
  await using stack = new AsyncDisposableStack();
  const server = fakeServer((nth) => nth === 0 ? { ...honest, ...script } : honest);
  stack.defer(() => server.stop());
  const nexthop = `${lmtp ? "inet:" : ""}[127.0.0.1]:${server.port}`;
  const bench = stack.use(makeBench({
    trusted: new Set([nexthop]),
    ...lmtp ? { dialect: "lmtp" } : {},
    timeouts: waits(PATIENCE),
    transfer: { ...POLICY.transfer, timeout: PATIENCE },
    ...policy,
  }));
  const started = performance.now();
  const attacked = await bench.deliver({ nexthop, to });
  const took = performance.now() - started;
  await server.idle();
  const { said } = server;
  const texts = server.texts.length;
  const next = await bench.deliver({ nexthop, to });
  assert.deepEqual(next.recipients.map(({ result }) => result), to.map(() => "sent"), "the next message");
  assert.deepEqual(next.errors, []);
  const sorted = [...attacked.recipients].sort((a, b) => a.offset - b.offset);
  return {
    results: sorted.map(({ result, status }) => `${result} ${status}`),
    reasons: sorted.map(({ reason }) => reason),
    site: attacked.site,
    took,
    texts,
    said,
  };
}

/** Plays many, some at once; `look` may throw, and then says which attack it was. */
export async function playAll<A extends Attack>(
  attacks: readonly A[],
  look: (attack: A, outcome: Outcome) => void,
): Promise<void> {
  const left = [...attacks];
  const worker = async () => {
    for (let attack = left.shift(); attack !== undefined; attack = left.shift()) {
      try {
        look(attack, await play(attack));
      } catch (error) {
        throw new Error(`${attack.name}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** What became of a delivery's one recipient: "sent", or result, status and reason. */
export function onlyOutcome({ recipients }: Delivered): string {
  const [{ result, status, reason }] = recipients as [(typeof recipients)[number]];
  return result === "sent" ? "sent" : `${result} ${status} ${reason}`;
}
