/**
 * The command line of posttls-finger.
 *
 * @module
 */
// Utility
import { TLS_LEVELS, type TlsLevel } from "../lib/smtp/client_tls_settings.ts";
import { asciiLower, splitBlanks } from "../lib/vstring/ascii.ts";
import { FINGERPRINT_DIGESTS } from "../lib/tls/client_fingerprint.ts";
import type { FingerprintDigest } from "../lib/safe/certificate.ts";
// This program
import { CommandError } from "./command.ts";
import { parseOptions } from "./options.ts";
import { EX } from "./sysexits.ts";

/** What the command line says. */
export interface FingerOptions {
  readonly destination: string;
  /** Names or fingerprints. */
  readonly matches: readonly string[];
  readonly json: boolean;
  readonly lmtp: boolean;
  readonly wrapper: boolean;
  /** The conversation is printed. */
  readonly chat: boolean;
  /** The certificates are printed. */
  readonly chain: boolean;
  readonly family: "any" | "ipv4" | "ipv6";
  readonly level: TlsLevel | undefined;
  readonly digest: FingerprintDigest | undefined;
  readonly authorities: string;
  readonly authorityDirectory: string;
  readonly anchors: readonly string[];
  readonly chains: readonly string[];
  readonly certificate: string;
  readonly key: string;
  readonly protocols: string;
  readonly grade: string;
  readonly serverName: string;
  readonly forceTlsa: boolean;
  readonly logsSummary: boolean;
  readonly logsPeer: boolean;
  readonly logsNames: boolean;
  /** Seconds. */
  readonly connectTimeout: number;
  readonly commandTimeout: number;
}

const LETTERS = "a:A:cCd:fF:g:h:H:k:K:l:L:m:M:o:O:p:P:r:s:St:T:vwX";
const USAGE =
  "usage: posttls-finger [-acCfSvw] [-a family] [-A anchors.pem] [-d digest] [-F CAfile.pem] [-g grade] [-H chain.pem] " +
  "[-k certificate.pem] [-K key.pem] [-l level] [-L log] [-p protocols] [-P CApath] [-s servername] [-t seconds] " +
  "[-T seconds] [--json] destination [match ...]";

/** Options of Postfix's program that change nothing here: how it logs OpenSSL, and how it reuses sessions. */
const WITHOUT_EFFECT = "hmMoOrvX";

/** Reads the command line. Throws `CommandError`. */
export function readFingerOptions(args: readonly string[]): FingerOptions {
  const json = args.includes("--json");
  const words = args.filter((word) => word !== "--json");
  const parsed = parseOptions(words, LETTERS);
  if (parsed.kind === "invalid") throw new CommandError(`fatal: ${parsed.why}\n${USAGE}`, EX.USAGE);
  const [destination, ...matches] = parsed.operands;
  if (destination === undefined) throw new CommandError(USAGE, EX.USAGE);
  const all = (letter: string) =>
    parsed.options.filter((one) => one.letter === letter).map(({ value }) => value);
  const last = (letter: string) => all(letter).at(-1);
  const has = (letter: string) => all(letter).length > 0;
  for (const { letter } of parsed.options) {
    if (WITHOUT_EFFECT.includes(letter) && letter !== "v" && letter !== "h") {
      throw new CommandError(`fatal: option -${letter} is not supported`, EX.USAGE);
    }
  }
  const logged = splitBlanks(asciiLower(last("L") ?? "routine certmatch"), true);
  const verbose = logged.some((one) => ["2", "debug", "3", "4", "verbose"].includes(one));
  return {
    destination,
    matches,
    json,
    lmtp: has("S"),
    wrapper: has("w"),
    chat: !has("c") && !json,
    chain: has("C"),
    family: oneOf("-a", last("a") ?? "any", ["any", "ipv4", "ipv6"]),
    level: has("l") ? oneOf("-l", asciiLower(last("l")!), TLS_LEVELS) : undefined,
    digest: has("d") ? oneOf("-d", asciiLower(last("d")!), FINGERPRINT_DIGESTS) : undefined,
    authorities: last("F") ?? "",
    authorityDirectory: last("P") ?? "",
    anchors: all("A"),
    chains: all("H").flatMap((value) => splitBlanks(value, true)),
    certificate: last("k") ?? last("K") ?? "",
    key: last("K") ?? last("k") ?? "",
    protocols: last("p") ?? ">=TLSv1",
    grade: last("g") ?? "medium",
    serverName: last("s") ?? "",
    forceTlsa: has("f"),
    logsSummary: verbose || logged.some((one) => ["1", "routine", "summary"].includes(one)),
    logsPeer: verbose || logged.includes("peercert") || logged.includes("certmatch"),
    logsNames: verbose || logged.includes("certmatch"),
    connectTimeout: seconds("-t", last("t") ?? "30"),
    commandTimeout: seconds("-T", last("T") ?? "30"),
  };
}

function oneOf<const W extends string>(option: string, value: string, words: readonly W[]): W {
  const found = words.find((word) => word === value);
  if (found === undefined) {
    throw new CommandError(`fatal: ${option} takes ${words.join(", ")}, not "${value}"`, EX.USAGE);
  }
  return found;
}

function seconds(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 3600) {
    throw new CommandError(`fatal: ${option} takes seconds, 1 to 3600`, EX.USAGE);
  }
  return value;
}
