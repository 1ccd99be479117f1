/**
 * The internal protocols about TLS with servers: what domains want of it, and what became of it. They stand apart from
 * protocols.ts for their length only.
 *
 * @module
 */
import { choice, list, protocol, text } from "../ipc/protocol.ts";

/** sts: the MTA-STS policies of domains (RFC 8461). */
export const STS = protocol({
  name: "sts",
  version: 1,
  repeatable: true,
  requests: { find: { fields: { domain: text(1024) } } },
  replies: {
    policy: {
      fields: {
        /** none: there is no policy, or one that says so. */
        mode: choice("none", "testing", "enforce"),
        id: text(32),
        /** Names of MX hosts, some with `*.` for one label. */
        patterns: list(100, { name: text(255) }),
        /** The policy's own lines, for reports. */
        lines: list(200, { line: text(2000) }),
      },
      last: true,
    },
  },
});

/** tlsrpt: what became of TLS with servers, for the reports of RFC 8460. */
export const TLSRPT = protocol({
  name: "tlsrpt",
  version: 1,
  requests: {
    result: {
      fields: {
        /** Domain that mail was for. */
        domain: text(1024),
        /** RFC 8460 section 4.2. */
        policy: choice("no-policy-found", "sts", "tlsa"),
        /** The policy's lines, or the TLSA records. */
        strings: list(200, { line: text(2000) }),
        /** MX hosts that an STS policy names. */
        patterns: list(100, { name: text(255) }),
        /** Empty: TLS was as the policy wants it. Else a result type of RFC 8460 section 4.3. */
        failure: text(64),
        host: text(1024),
        address: text(64),
      },
    },
  },
  replies: { taken: { fields: {}, last: true } },
});
