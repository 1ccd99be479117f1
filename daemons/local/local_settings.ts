/**
 * The parameters that decide about local delivery.
 *
 * @module
 */
// Utility
import { type Settings } from "../../lib/config/parameters.ts";
// This program
import { type SERVICE } from "./service.ts";

/** The frozen settings of the local agent. */
export type LocalSettings = Settings<(typeof SERVICE)["parameters"][number]>;
