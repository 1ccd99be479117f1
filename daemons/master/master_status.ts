/**
 * What `postern status` shows: written beside the lock file every few seconds.
 */
import { removeFile, replaceFile } from "../../lib/safe/file.ts";
import { processId } from "../../lib/safe/stdio.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import type { Supervisor } from "./master_supervisor.ts";

/** How often it is written, milliseconds. */
const INTERVAL = 5000;

/** Keeps pid/master.status current. */
export class StatusFile {
  readonly #path: string;
  readonly #supervisor: Supervisor;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(queueDirectory: string, supervisor: Supervisor) {
    this.#path = `${queueDirectory}/pid/master.status`;
    this.#supervisor = supervisor;
    this.#timer = setInterval(() => this.#write(), INTERVAL);
    this.#write();
  }

  /** Stops writing and removes the file. */
  remove(): void {
    clearInterval(this.#timer);
    removeFile(this.#path);
  }

  #write(): void {
    const status = {
      pid: processId(),
      processes: this.#supervisor.processes().map(({ service, child }) => ({
        service,
        pid: child.pid,
        started: child.started,
        busy: child.busy,
        used: child.used,
      })),
      securityEvents: Object.fromEntries(this.#supervisor.securityEvents),
    };
    replaceFile(this.#path, encodeText(JSON.stringify(status) + "\n"), 0o644).catch((error) => {
      this.#supervisor.log.warning(error instanceof Error ? error.message : String(error));
    });
  }
}
