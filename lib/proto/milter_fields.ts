/**
 * What smtpd tells cleanup of a filter (milter) whose connection it lends.
 *
 * @module
 */
import { choice, integer, list, text } from "../ipc/protocol.ts";

/** Most filters of one session, most macros that one of them asks for at one stage, and the longest value, bytes. */
export const FILTER_LIMIT = 20;
export const MACRO_LIMIT = 100;
export const MACRO_VALUE_LIMIT = 8192;

/** A macro's name. */
export const MACRO = { name: text(256) } as const;

/** One filter, and what was agreed on with it. */
export const LENT_FILTER = {
  /** Its number among the session's. */
  filter: integer(FILTER_LIMIT),
  name: text(1024),
  defaultAction: choice("accept", "reject", "tempfail", "quarantine", "shutdown"),
  /** Milliseconds. */
  contentTimeout: integer(),
  version: integer(0xff),
  actions: integer(0xffffffff),
  steps: integer(0xffffffff),
  headerMacros: list(MACRO_LIMIT, MACRO),
  endMacros: list(MACRO_LIMIT, MACRO),
} as const;
