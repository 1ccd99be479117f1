/**
 * One request to the trivial-rewrite service.
 *
 * @module
 */
// Utility
import type { Request } from "../ipc/protocol.ts";
import type { Handler } from "../ipc/server.ts";
import type { Logger } from "../log/log.ts";
import { ADDRESS_LIMIT, REWRITE } from "../proto/protocols.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import type { OwnAddresses } from "../mail/own_address.ts";
// Rewriting
import { AddressRewriter, type RewriteWatch } from "./rewrite_address.ts";
import { DomainClasses } from "./rewrite_classes.ts";
import { AddressResolver, type Resolution } from "./rewrite_resolve.ts";
import { type Maps, type RewriteSettings, TableTrouble } from "./rewrite_settings.ts";

/** Seconds between two log lines about tables in trouble. */
const COMPLAINT_PAUSE = 10;
/** Longest transport and next hop that the protocol carries, bytes. */
const TRANSPORT_LIMIT = REWRITE.replies.resolved.fields.transport.most;
const NEXTHOP_LIMIT = REWRITE.replies.resolved.fields.nexthop.most;

/** What became of a resolve request. */
export type ResolveAnswer =
  | { readonly kind: "resolved"; readonly resolution: Resolution }
  | { readonly kind: "retry"; readonly why: string };

/** Answers requests. */
export class RewriteService {
  readonly #rewriter: AddressRewriter;
  readonly #resolver: AddressResolver;
  readonly #log: Logger;
  #complained = -Infinity;

  /** @param watch is told of each step that changes an address */
  constructor(
    settings: RewriteSettings,
    maps: Maps,
    own: OwnAddresses,
    log: Logger,
    watch?: RewriteWatch,
  ) {
    this.#rewriter = new AddressRewriter(settings, watch);
    const classes = new DomainClasses(settings, maps, own, log);
    this.#resolver = new AddressResolver(settings, this.#rewriter, classes, maps, log);
    this.#log = log;
  }

  /** The standard form of an address, external form in and out; what would grow too long stays as it is. */
  rewrite(context: "local" | "remote", address: string): string {
    const rewritten = this.#rewriter.rewrite(context, address);
    return fits(rewritten, ADDRESS_LIMIT) ? rewritten : address;
  }

  /** Class, transport and next hop of a recipient, internal form in and out. */
  async resolve(sender: string, address: string): Promise<ResolveAnswer> {
    try {
      const resolution = await this.#resolver.resolve(sender, address);
      return { kind: "resolved", resolution: withinLimits(resolution, address) };
    } catch (error) {
      if (!(error instanceof TableTrouble)) throw error;
      this.#complain(error.message);
      return { kind: "retry", why: printable(error.message) };
    }
  }

  /** Logs a table's trouble, not more often than the log can bear. */
  #complain(why: string): void {
    const now = performance.now();
    if (now - this.#complained < COMPLAINT_PAUSE * 1000) return;
    this.#complained = now;
    this.#log.warning(printable(why));
  }
}

/** The resolution as the protocol can carry it; `address` is what was asked for. */
function withinLimits(resolution: Resolution, address: string): Resolution {
  const { transport, nexthop, recipient } = resolution;
  if (!fits(transport, TRANSPORT_LIMIT) || !fits(nexthop, NEXTHOP_LIMIT)) {
    throw new TableTrouble("transport or next hop from a table is too long");
  }
  if (fits(recipient, ADDRESS_LIMIT)) return resolution;
  // Completed by a domain it is longer than any client takes.
  return {
    ...resolution,
    transport: "error",
    nexthop: "5.1.3 address is too long",
    recipient: address,
    bad: true,
  };
}

function fits(text: string, limit: number): boolean {
  return text.length * 3 <= limit || encodeText(text).length <= limit;
}

/**
 * The handler that serves the rewrite protocol.
 *
 * @param probes answers for probes
 */
export function rewriteHandler(
  service: RewriteService,
  probes: RewriteService = service,
): Handler<typeof REWRITE> {
  return (exchange, message: Request<typeof REWRITE>) => {
    switch (message.is) {
      case "rewrite":
        exchange.reply("rewritten", { address: service.rewrite(message.context, message.address) });
        return;
      case "resolve":
      case "resolveProbe":
        return (message.is === "resolve" ? service : probes).resolve(message.sender, message.address).then(
          (answer) => {
            if (answer.kind === "retry") exchange.reply("retry", { reason: answer.why });
            else exchange.reply("resolved", answer.resolution);
          },
        );
      default:
        message satisfies never;
    }
  };
}
