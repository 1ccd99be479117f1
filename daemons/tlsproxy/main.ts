/**
 * NAME
 *   tlsproxy - does TLS for postscreen, which has no keys
 *
 * DESCRIPTION
 *   postscreen offers STARTTLS to clients that it tests after the greeting or refuses. What such a client sends is carried
 *   here, and what it means goes back to postscreen over a second connection. Clients that are let in do TLS with smtpd.
 *
 *   Keys and certificates are those of smtpd (smtpd_tls_chain_files and so on). Others can be named with the service's
 *   own parameters in master.toml.
 *
 * SECURITY
 *   Has the server's private keys, reads bytes from strangers in the handshake, and touches nothing else: no file, no socket
 *   of another daemon. Only daemons of the mail system can connect to it. A connection whose other half does not come is
 *   closed after ten seconds.
 *
 * STANDARDS
 *   RFC 3207 (STARTTLS), RFC 5246 (TLS 1.2), RFC 8446 (TLS 1.3)
 *
 * DIAGNOSTICS
 *   "Anonymous TLS connection established from", where smtpd_tls_loglevel is 1; "SSL_accept error from".
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   Servers only: the client's side of TLS is done where it is needed. Client certificates are not asked for.
 *
 * @module
 */
// Safe primitives
import { TlsServer } from "../../lib/safe/tls_server.ts";
// Wire protocols
import { findIdentity, serverTlsLevel } from "../../lib/tls/server_material.ts";
import { parseVersions } from "../../lib/tls/tls_protocols.ts";
// Server skeleton
import type { Context } from "../../lib/server/context.ts";
import { runStreamDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";
import { Pairs } from "./tlsproxy_pairs.ts";

/** Connections at once: two for each client. */
const CONNECTION_LIMIT = 2000;

function makeServer({ settings, tls, log }: Context<typeof SERVICE>): TlsServer | undefined {
  const demanded = serverTlsLevel(settings) === "encrypt";
  const versions = parseVersions(
    demanded ? settings.smtpd_tls_mandatory_protocols : settings.smtpd_tls_protocols,
  );
  if (tls?.identity === undefined || versions.kind === "wrong") {
    log.warning(versions.kind === "wrong" ? versions.why : "No server certs available. TLS won't be enabled");
    return undefined;
  }
  const names = new Map(tls.named);
  return new TlsServer({
    identity: tls.identity,
    identityFor: names.size === 0 ? undefined : (name) => findIdentity(names, name),
    oldest: versions.oldest,
    newest: versions.newest,
    asksCertificate: false,
    authorities: "",
  });
}

await runStreamDaemon(SERVICE, (context) => {
  const pairs = new Pairs(makeServer(context), context.log, context.settings.smtpd_tls_loglevel > 0);
  return {
    sessionLimit: CONNECTION_LIMIT,
    session: (channel, done) => pairs.accept(channel, done),
  };
});
