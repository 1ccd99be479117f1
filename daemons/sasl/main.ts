/**
 * NAME
 *   sasl - checks logins against the password file
 *
 * DESCRIPTION
 *   Serves smtpd with smtpd_sasl_type = "passwords": it runs the exchanges of PLAIN, LOGIN and SCRAM-SHA-256 against
 *   smtpd_sasl_password_file, and says who has logged in. The file is read again when it has changed. SCRAM-SHA-256 is
 *   offered when every user of the file has keys for it.
 *
 *   A line of the file is `name:{SCHEME}hash`. Schemes, as `doveadm pw -s SCHEME` writes them: ARGON2ID, SHA512-CRYPT,
 *   SCRAM-SHA-256; and SCRYPT, `$scrypt$ln=15,r=8,p=1$salt$hash`. `#` begins a comment. `postern saslpasswd` makes lines.
 *
 * SECURITY
 *   The only process that can read the file: smtpd, which strangers talk to, cannot. It opens no other file and connects to
 *   nobody. Who takes it over learns hashes and the passwords that are tried meanwhile. What clients send is bounded, a
 *   password is checked in memory that the hash says (at most 256 MiB), two at once. A login that fails is answered after
 *   two seconds, and takes the same work whether the user is there or not.
 *
 * STANDARDS
 *   RFC 4422 (SASL), RFC 4616 (PLAIN), RFC 5802, RFC 7677 (SCRAM-SHA-256)
 *
 * DIAGNOSTICS
 *   Warnings: the file cannot be read, a line of it is wrong.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   Names and passwords are compared as they are, without SASLprep (RFC 4013). No channel binding, no acting for others.
 *   A check of ARGON2ID takes all of the process's one thread. Other hashes of crypt(3), as yescrypt, are refused.
 *
 * @module
 */
// Server skeleton
import { SASL } from "../../lib/proto/protocols.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SaslService } from "./sasl_service.ts";
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, SASL, ({ settings, log }) => {
  const service = new SaslService(settings.smtpd_sasl_password_file, log);
  return (exchange, message) => service.handle(exchange, message);
});
