/**
 * Whether the user who runs sendmail or postdrop may post, and with which sender: told at once, with Postfix's exit status.
 * It is no fence: who can write to maildrop/ needs no program for it, so pickup asks again (lib/server/submit_access.ts).
 *
 * @module
 */
// Safe primitives
import { findLogin } from "../lib/safe/login.ts";
import { ownUid } from "../lib/safe/process.ts";
// Tables
import { listSubject, matchList, parseList } from "../lib/table/match_list.ts";
import { openTableSoftly } from "../lib/table/open.ts";
import { keySearch } from "../lib/table/search.ts";
import { TABLE_SERVERS } from "../lib/table/table_servers.ts";
// Internal protocols
import type { MapLookup } from "../lib/proto/proxymap_client.ts";
// Server skeleton
import {
  mayPost,
  maySendAs,
  type SubmitAccessSettings,
  type SubmitVerdict,
} from "../lib/server/submit_access.ts";
// This program
import { CommandError } from "./command.ts";
import { isPrivileged, type QueueOwnerSettings } from "./postqueue_access.ts";
import { EX } from "./sysexits.ts";

/** What the user may do; each throws when he may not. */
export interface SubmitAccess {
  demandPost(): Promise<void>;
  /** @param sender internal form */
  demandSender(sender: string): Promise<void>;
}

/** Asks about the user of this process. */
export function submitAccess(settings: SubmitAccessSettings & QueueOwnerSettings): SubmitAccess {
  const uid = ownUid();
  const submitter = {
    uid,
    login: findLogin(uid)?.name,
    privileged: isPrivileged({ uid }, settings),
  };
  const maps = ownTables(settings);
  return {
    demandPost: async () => demand(await mayPost(submitter, maps, settings)),
    demandSender: async (sender) => demand(await maySendAs(submitter, sender, maps, settings)),
  };
}

function demand(verdict: SubmitVerdict): void {
  if (verdict.kind === "allowed") return;
  throw new CommandError(`fatal: ${verdict.why}`, verdict.kind === "refused" ? EX.NOPERM : EX.TEMPFAIL);
}

/** The tables of the two parameters, opened here: the user's own rights are those that count. */
function ownTables(settings: SubmitAccessSettings): MapLookup {
  const open = (spec: string) => openTableSoftly(spec, { servers: TABLE_SERVERS });
  return {
    find: async (parameter, search, key) => {
      const items = settings[parameter as "authorized_submit_users" | "local_login_sender_maps"];
      if (search !== "list") return await keySearch(items.map(open), key);
      const list = parseList(items, { kind: "string", parents: "plain", name: parameter, open });
      const outcome = await matchList(list, listSubject("string", key));
      return outcome.kind === "found" ? { ...outcome, extension: "" } : outcome;
    },
  };
}
