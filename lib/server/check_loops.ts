/**
 * Aliases that lead back to themselves: mail to them could never arrive.
 *
 * @module
 */
// Utility
import type { Configuration } from "../config/configuration.ts";
import { type Problem, warningAt } from "../config/problem.ts";
import { asciiLower, trimBlanks } from "../vstring/ascii.ts";
// Tables
import { openTable } from "../table/open.ts";
import { TableError } from "../table/table.ts";
import { tableSpecs } from "../table/table_files.ts";

/** Most loops that are told of; one is enough to begin with. */
const TOLD_LIMIT = 20;

/** What leads where. */
type Graph = ReadonlyMap<string, readonly string[]>;

/** Warns of loops among the aliases of local users, and among virtual aliases; of tables that can be listed. */
export function findAliasLoops(configuration: Configuration): Problem[] {
  const { settings } = configuration;
  const local = new Set([settings.myhostname, ...settings.mydestination].map((domain) => asciiLower(domain)));
  const localName = (address: string) => {
    const at = address.lastIndexOf("@");
    return at >= 0 && local.has(address.slice(at + 1)) ? address.slice(0, at) : address;
  };
  const complete = (address: string) =>
    address.includes("@") ? address : `${address}@${asciiLower(settings.myorigin)}`;
  return [
    ...loopsOf("alias_maps", configuration, localName),
    ...loopsOf("virtual_alias_maps", configuration, complete),
  ];
}

function loopsOf(
  parameter: "alias_maps" | "virtual_alias_maps",
  configuration: Configuration,
  name: (address: string) => string,
): Problem[] {
  const graph = readGraph(configuration.settings[parameter], parameter === "alias_maps", name);
  const place = configuration.place(parameter) ?? { file: `${configuration.directory}/main.toml`, line: 0 };
  return findCycles(graph).map((cycle) => {
    const text = `"${parameter}": aliases lead back to where they began: ${cycle.join(" -> ")}`;
    return warningAt(place, text, "let one of them end in a mailbox");
  });
}

/** The entries of the tables; the first of several equal keys counts. */
function readGraph(specs: readonly string[], alias: boolean, name: (address: string) => string): Graph {
  const graph = new Map<string, readonly string[]>();
  for (const spec of tableSpecs(specs)) {
    try {
      const table = openTable(spec, {
        ...(alias ? { syntax: "alias", paranoid: true } : {}),
        warn: () => {},
      });
      for (const [key, value] of table.entries?.() ?? []) {
        const from = name(asciiLower(key));
        if (!graph.has(from)) graph.set(from, targets(value).map((to) => name(asciiLower(to))));
      }
      table.close?.();
    } catch (error) {
      // That it cannot be opened is told of elsewhere.
      if (!(error instanceof TableError)) throw error;
    }
  }
  return graph;
}

/** Plain addresses of an alias's value: no command, file, list of a file, nor `\\user`, which ends the search. */
function targets(value: string): string[] {
  return value.split(",").map((item) => trimBlanks(item))
    .filter((item) => item !== "" && !["|", "/", ":", "\\", '"'].includes(item[0]!));
}

/** Cycles of two or more, each once. An alias that names itself means the mailbox of that name. */
function findCycles(graph: Graph): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  for (const start of graph.keys()) {
    if (done.has(start)) continue;
    // Depth first without recursion: a chain of aliases may be long.
    const trail: string[] = [];
    const inTrail = new Set<string>();
    const open: { readonly node: string; next: number }[] = [{ node: start, next: 0 }];
    trail.push(start);
    inTrail.add(start);
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const target = graph.get(top.node)?.[top.next++];
      if (target === undefined) {
        open.pop();
        inTrail.delete(trail.pop()!);
        done.add(top.node);
      } else if (target === top.node || done.has(target)) continue;
      else if (inTrail.has(target)) {
        if (cycles.length < TOLD_LIMIT) cycles.push([...trail.slice(trail.indexOf(target)), target]);
      } else {
        open.push({ node: target, next: 0 });
        trail.push(target);
        inTrail.add(target);
      }
    }
  }
  return cycles;
}
