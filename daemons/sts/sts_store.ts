/**
 * Policies on disk: a file in sts/ for each domain, so that an attacker who cuts a domain off from us after a restart has
 * not made us forget its policy (RFC 8461 section 10.2).
 *
 * @module
 */
// Safe primitives
import { listDirectory, openOwn, removeFile, replaceFile } from "../../lib/safe/file.ts";
// Utility
import { parseDecimal } from "../../lib/vstring/ascii.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import { isValidHostname } from "../../lib/mail/domain.ts";
// This program
import { parsePolicy, type StsPolicy } from "./sts_policy.ts";

/** A policy that was fetched. */
export interface KeptPolicy {
  readonly id: string;
  /** Seconds since 1970. */
  readonly fetched: number;
  readonly policy: StsPolicy;
}

const MODE = 0o600;
/** Longest file, bytes. */
const FILE_LIMIT = 128 * 1024;
/** Policies in memory; those on disk are bounded by the domains that mail goes to, and by their own ages. */
const MEMORY_LIMIT = 10_000;

/** Keeps policies. */
export class StsStore {
  readonly #directory: string;
  readonly #warn: (text: string) => void;
  readonly #memory = new Map<string, KeptPolicy | undefined>();

  constructor(directory: string, warn: (text: string) => void) {
    this.#directory = directory;
    this.#warn = warn;
  }

  /** The policy of a domain while its time is not over. */
  find(domain: string, now: number): KeptPolicy | undefined {
    if (!this.#memory.has(domain)) this.#remember(domain, this.#read(domain));
    const kept = this.#memory.get(domain);
    return kept !== undefined && now < kept.fetched + kept.policy.maxAge ? kept : undefined;
  }

  /** Keeps a policy in the place of an older one. */
  async keep(domain: string, kept: KeptPolicy): Promise<void> {
    this.#remember(domain, kept);
    const head = `${kept.id} ${kept.fetched}\n`;
    try {
      await replaceFile(this.#path(domain), encodeText(head + kept.policy.lines.join("\n") + "\n"), MODE);
    } catch (error) {
      // A full disk: what is in memory counts until the process ends.
      this.#warn(
        `${domain}: policy cannot be kept: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  /** Removes what is over, and what is none. */
  purge(now: number): void {
    for (const name of listDirectory(this.#directory)) {
      const kept = isValidHostname(name) ? this.#read(name) : undefined;
      if (kept !== undefined && now < kept.fetched + kept.policy.maxAge) continue;
      removeFile(`${this.#directory}/${name}`);
      this.#memory.delete(name);
    }
  }

  #remember(domain: string, kept: KeptPolicy | undefined): void {
    this.#memory.delete(domain);
    this.#memory.set(domain, kept);
    for (const oldest of this.#memory.keys()) {
      if (this.#memory.size <= MEMORY_LIMIT) break;
      this.#memory.delete(oldest);
    }
  }

  #read(domain: string): KeptPolicy | undefined {
    const opened = openOwn(this.#path(domain), "read");
    if (opened.kind !== "opened") return undefined;
    using file = opened.file;
    const bytes = new Uint8Array(Math.min(file.size(), FILE_LIMIT));
    const body = bytes.subarray(0, file.read(bytes, 0));
    const end = body.indexOf(0x0a);
    const [id = "", time = ""] = String.fromCharCode(...body.subarray(0, Math.max(0, Math.min(end, 200))))
      .split(" ");
    const fetched = parseDecimal(time);
    const policy = parsePolicy(body.subarray(end + 1));
    if (end < 0 || fetched === undefined || policy === undefined) {
      this.#warn(`${domain}: file of its policy is damaged`);
      return undefined;
    }
    return { id, fetched, policy };
  }

  #path(domain: string): string {
    return `${this.#directory}/${domain}`;
  }
}
