/**
 * Two channels, each of which gets what the other one says, and is slowed down when the other one is slow.
 *
 * @module
 */
import type { Channel } from "../safe/channel.ts";

/** What becomes of the two. */
export interface PipeEvents {
  /** The server has said something for the first time. */
  answered?(): void;
  /**
   * One of them has closed, and so has the server. The client is finished when it was answered; else it is left to the
   * caller, who may have a word for it.
   */
  over(answered: boolean, why: string | undefined): void;
}

/** Joins a client with a server that answers it. */
export function pipeChannels(client: Channel, server: Channel, events: PipeEvents): void {
  let answered = false;
  let over = false;
  const end = (why: string | undefined) => {
    if (over) return;
    over = true;
    if (answered) client.finish();
    events.over(answered, why);
  };
  server.start({
    data: (bytes) => {
      if (over) return;
      if (!answered) {
        answered = true;
        events.answered?.();
      }
      // A channel keeps what it is given, and what came is valid in this call only.
      if (!client.write(bytes.slice())) server.pause();
    },
    drained: () => client.resume(),
    closed: end,
  });
  client.start({
    data: (bytes) => {
      if (!over && !server.write(bytes.slice())) client.pause();
    },
    drained: () => server.resume(),
    // A client that has said its last word still gets its replies.
    ended: () => server.endOutput(),
    closed: (why) => {
      server.destroy();
      end(why);
    },
  });
  client.resume();
}
