/**
 * How a table is opened: the options that every type of table understands.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
// Tables
import type { TableFiles } from "./file_table.ts";
import type { TableServers } from "./servers.ts";
import type { Warn } from "./table.ts";

/** How a table is opened. */
export interface OpenHow {
  /**
   * For tables whose results name files, commands or users: no `$1` in results of regexp tables, so that no sender
   * can write a part of the result.
   */
  readonly paranoid?: boolean;
  /** Fold keys to lower case, when the table is made and when it is searched (default). Not for regexp and cidr. */
  readonly foldKeys?: boolean;
  /** Syntax of texthash files: `key value` (default), or `name: value` of alias files. */
  readonly syntax?: "map" | "alias";
  /** A table that cannot be opened now answers `retry` and is tried again, instead of throwing. */
  readonly soft?: boolean;
  /** Told of problems that leave the table usable, and of reloads. */
  readonly log?: Pick<Logger, "info" | "warning" | "error"> | undefined;
  /** Takes the problems instead of the log. */
  readonly warn?: Warn;
  /** Told when the sandbox does not allow to read a soft table's file: a security event. */
  readonly refused?: ((error: unknown) => void) | undefined;
  readonly files?: TableFiles;
  /** Ways to the servers of tables. Without them a table on a server is opened, and answers that it cannot be asked here. */
  readonly servers?: TableServers;
}
