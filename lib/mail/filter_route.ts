/**
 * Where a content filter is: what content_filter, FILTER actions and milters name.
 *
 * @module
 */
import { domainOf } from "./address.ts";

/**
 * The transport and next hop of a content filter.
 *
 * @param filter "transport:nexthop"; the next hop may be missing
 * @param nexthop default_filter_nexthop
 */
export function filterRoute(
  filter: string,
  nexthop: string,
  recipient: string,
): { readonly transport: string; readonly nexthop: string } {
  const colon = filter.indexOf(":");
  const transport = colon < 0 ? filter : filter.slice(0, colon);
  const own = colon < 0 ? "" : filter.slice(colon + 1);
  return { transport, nexthop: own || nexthop || domainOf(recipient) };
}
