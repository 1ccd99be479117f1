/**
 * What this program is told.
 *
 * @module
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
// This program
import type { SERVICE } from "./service.ts";

/** The settings that qmqpd is told. */
export type QmqpdSettings = Settings<(typeof SERVICE)["parameters"][number]>;
