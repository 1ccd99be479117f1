/**
 * What a filter of the administrator's own may touch, as its file says, and whether its file may be run at all.
 *
 * @module
 */
// Safe primitives
import { type FileStat, lookAt, readTextFile } from "../safe/file.ts";
import { dirname } from "../safe/path.ts";
import { ownUid } from "../safe/process.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { errorAt, type Problem } from "../config/problem.ts";
// Filters
import type { FilterMay } from "../filter/filter.ts";
import {
  FILTER_FILE_LIMIT,
  FilterDeclarationError,
  parseFilterDeclaration,
} from "../filter/filter_declaration.ts";
// Server skeleton
import type { Grant } from "./sandbox.ts";
import type { Service } from "./service.ts";

/** Permission to write for the group or for others. */
const WRITABLE = 0o022;
/** The sticky bit: in such a directory nobody replaces what is another's. */
const STICKY = 0o1000;

/** What a filter's file declares; undefined for other services, and for a file that must not be run. */
export function filterMay(
  configuration: Configuration,
  entry: ServiceEntry,
  { declares }: Service,
): FilterMay | undefined {
  if (declares === undefined) return undefined;
  const path = String(settingsFor(configuration, entry, [declares])[declares]);
  return path === "" || whyUnsafe(path) !== undefined ? undefined : readDeclaration(path);
}

/** The grants that a filter's file asks for. */
export function filterGrants(configuration: Configuration, entry: ServiceEntry, service: Service): Grant[] {
  const may = filterMay(configuration, entry, service);
  if (may === undefined) return [];
  const because = `may, in the file that ${service.declares} names (${
    configuration.origin(service.declares!)
  })`;
  return [
    ...may.reads.map((object): Grant => ({ kind: "read", object, because })),
    ...may.net.flatMap((object): Grant[] => {
      const net: Grant = { kind: "net", object, because };
      if (!object.startsWith("unix:")) return [net];
      const path = object.slice("unix:".length);
      return [net, { kind: "read", object: path, because }, { kind: "write", object: path, because }];
    }),
  ];
}

function readDeclaration(path: string): FilterMay | undefined {
  try {
    return parseFilterDeclaration(readTextFile(path, FILTER_FILE_LIMIT));
  } catch (error) {
    if (!(error instanceof FilterDeclarationError)) throw error;
    return undefined;
  }
}

/** Why a file must not be run: somebody else than root or we ourselves can decide what stands in it. */
export function whyUnsafe(path: string): string | undefined {
  if (!path.startsWith("/")) return "is no absolute path";
  const file = lookAt(path);
  if (file?.kind !== "file") return file === undefined ? "does not exist" : "is no regular file";
  const bad = whyOthersMayChange(file);
  if (bad !== undefined) return bad;
  for (let directory = dirname(path);; directory = dirname(directory)) {
    const stat = lookAt(directory);
    const why = stat === undefined ? "does not exist" : whyOthersMayChange(stat);
    if (why !== undefined) return `is in "${directory}", which ${why}`;
    if (directory === "/") return undefined;
  }
}

function whyOthersMayChange({ uid, mode, kind }: FileStat): string | undefined {
  if (uid !== 0 && uid !== ownUid()) return `belongs to user ${uid}`;
  if ((mode & WRITABLE) === 0 || kind === "directory" && (mode & STICKY) !== 0) return undefined;
  return "others may write to";
}

/** What is wrong with the filters of a configuration. */
export function findFilterProblems(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
): Problem[] {
  return configuration.services.flatMap((entry) => {
    const declares = services.get(entry.command)?.declares;
    if (declares === undefined) return [];
    const path = String(settingsFor(configuration, entry, [declares])[declares]);
    const place = configuration.scopeOf(entry).setting(declares) ?? entry.place;
    if (path === "") return [errorAt(place, `service "${entry.name}": "${declares}" is not set`)];
    const unsafe = whyUnsafe(path);
    if (unsafe !== undefined) return [errorAt(place, `the filter "${path}" ${unsafe}`)];
    try {
      parseFilterDeclaration(readTextFile(path, FILTER_FILE_LIMIT));
      return [];
    } catch (error) {
      if (!(error instanceof FilterDeclarationError)) throw error;
      return [errorAt(place, `the filter "${path}" does not say what it may touch: ${error.message}`)];
    }
  });
}
