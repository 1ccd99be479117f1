/**
 * The `domain` parameter of database tables: only full addresses in these domains are asked for, which spares the
 * server the keys that it cannot have.
 *
 * @module
 */
// Tables
import { matchDomainList, type MatchList } from "./match_list.ts";
import { MISSING, type Outcome } from "./table.ts";

/** Whether a key may be asked for: found when it may. */
export async function filterKey(domains: MatchList | undefined, key: string): Promise<Outcome> {
  if (domains === undefined) return { kind: "found", value: key };
  const at = key.lastIndexOf("@");
  if (at < 1 || at === key.length - 1) return MISSING;
  return await matchDomainList(domains, key.slice(at + 1));
}
