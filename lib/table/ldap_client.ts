/**
 * Sessions with LDAP directories. The only importer of `ldapts`.
 *
 * @module
 */
import { Client, NoSuchObjectError, ResultCodeError } from "ldapts";
// Safe primitives
import { unixClientSocket } from "../safe/client_socket.ts";
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Tables
import { targetText } from "./server_target.ts";
import type { LdapEntry, LdapLogin, LdapSearch, LdapSession } from "./servers.ts";

const DEREFERENCE = ["never", "search", "find", "always"] as const;
/** Most entries of one search, whatever size_limit says. */
const ENTRY_LIMIT = 100_000;

/**
 * Opens a session and binds.
 *
 * Permissions needed: net on host and port, or net, read and write on the path of the socket.
 *
 * @throws the package's error
 */
export async function openLdap(login: LdapLogin): Promise<LdapSession> {
  const { target, security, bind, tls, timeout } = login;
  const tlsOptions = {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls.verify,
  };
  const scheme = security === "ldaps" ? "ldaps" : "ldap";
  const client = new Client({
    url: target.kind === "unix" ? "ldap://localhost" : `${scheme}://${targetText(target)}`,
    timeout,
    connectTimeout: timeout,
    // Given these, the package speaks TLS at once, whatever the URL says.
    ...(security === "ldaps" ? { tlsOptions } : {}),
    strictDN: false,
    ...(target.kind === "unix" ? { createConnection: (() => unixClientSocket(target.path)) as never } : {}),
  });
  let broken = false;
  let used = bind !== undefined || security === "starttls";
  const close = () => {
    broken = true;
    client.unbind().catch(() => {});
  };
  try {
    if (security === "starttls") await client.startTLS(tlsOptions);
    // Without a name it is an anonymous bind.
    if (bind !== undefined) await client.bind(bind.dn, bind.password);
  } catch (error) {
    close();
    throw named(error);
  }
  return {
    search: async (search) => {
      // The package would connect anew, without our bind and TLS.
      broken ||= used && !client.isConnected;
      used = true;
      if (broken) throw new Error("connection was closed");
      try {
        return await runSearch(client, search);
      } catch (error) {
        if (error instanceof NoSuchObjectError) return "missing";
        broken ||= !(error instanceof ResultCodeError || error instanceof SizeLimitError);
        throw named(error);
      }
    },
    close,
    get broken() {
      return broken;
    },
  };
}

/** More entries than the table allows. */
class SizeLimitError extends Error {
  override name = "SizeLimitError";
}

/** The package tells an LDAP result by the name of its exception only. */
function named(error: unknown): Error {
  if (!(error instanceof ResultCodeError)) return error instanceof Error ? error : new Error(String(error));
  return new Error(`${error.name.replace(/Error$/, "")}:${error.message}`);
}

async function runSearch(client: Client, search: LdapSearch): Promise<LdapEntry[]> {
  const { searchEntries } = await client.search(search.base, {
    scope: search.scope,
    filter: search.filter,
    attributes: [...search.attributes],
    // Not sent: with a limit of ours the package would take what a server's own limit has cut off for the whole.
    sizeLimit: 0,
    derefAliases: DEREFERENCE[search.dereference],
    paged: false,
  });
  const most = search.sizeLimit === 0 ? ENTRY_LIMIT : search.sizeLimit;
  if (searchEntries.length > most) throw new SizeLimitError(`search gave more than ${most} entries`);
  return searchEntries.map(({ dn, ...rest }) => ({
    dn,
    attributes: new Map(Object.entries(rest).map(([name, value]) => [asciiLower(name), texts(value)])),
  }));
}

function texts(value: unknown): string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.map((one) => one instanceof Uint8Array ? new TextDecoder().decode(one) : String(one));
}
