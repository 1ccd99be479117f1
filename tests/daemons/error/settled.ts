/** One request to an agent that settles recipients by itself, and what it said. Not a test itself. @module */
import type { Handler } from "../../../lib/ipc/server.ts";
import type { Logger } from "../../../lib/log/log.ts";
import type { DELIVERY } from "../../../lib/proto/protocols.ts";

export interface Settled {
  /** "offset result status action reason". */
  readonly outcomes: readonly string[];
  readonly finished: number;
  readonly log: readonly string[];
}

/** A log that keeps its lines. */
export function listLog(lines: string[]): Logger {
  const note = (text: string) => void lines.push(text);
  return { info: note, warning: note, error: note, debug: note, flush: () => {} };
}

/** Hands a request over. */
export function settle(
  make: (log: Logger) => Handler<typeof DELIVERY>,
  nexthop: string,
  addresses: readonly string[] = ["one@example.com"],
  probe = false,
): Settled {
  const log: string[] = [];
  const outcomes: string[] = [];
  let finished = 0;
  const recipients = addresses.map((address, i) => ({
    offset: 100 + i,
    address,
    originalRecipient: i === 0 ? "first@example.com" : "",
    dsnOriginalRecipient: "",
    notify: 0,
  }));
  make(listLog(log))({
    state: undefined,
    onCancel: undefined,
    cancelled: false,
    reply: (type, fields) => {
      const values = fields as Record<string, unknown>;
      if (type === "finished") finished++;
      else {outcomes.push(
          ["offset", "result", "status", "action", "reason"].map((name) => values[name]).join(" "),
        );}
    },
  }, {
    is: "deliver",
    queueId: "4F2A",
    queueName: "active",
    dataOffset: 100,
    dataSize: 10,
    nexthop,
    encoding: "",
    sendOptions: 0,
    sender: "s@example.com",
    envelopeId: "",
    ret: 0,
    arrivalTime: Date.now() - 2000,
    activeTime: Date.now() - 1000,
    clientName: "",
    clientAddress: "",
    clientPort: "",
    protocolName: "",
    heloName: "",
    saslMethod: "",
    saslUsername: "",
    saslSender: "",
    logIdent: "",
    rewriteContext: "local",
    probe,
    recipients,
  });
  return { outcomes, finished, log };
}
