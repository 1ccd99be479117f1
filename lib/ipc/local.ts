/**
 * A handler asked without a connection: for programs that run a service's code themselves.
 *
 * @module
 */
import type { IpcClient } from "./client.ts";
import type { Protocol, Reply, Request } from "./protocol.ts";
import type { Handler, ServerExchange } from "./server.ts";

/** A client whose calls go to the handler directly; of requests that have one reply. */
export function localClient<P extends Protocol>(handler: Handler<P>): Pick<IpcClient<P>, "call"> {
  return {
    call: (type, fields) =>
      new Promise<Reply<P>>((resolve, reject) => {
        const exchange: ServerExchange<P> = {
          reply: (is, values) => resolve({ is, ...values } as unknown as Reply<P>),
          state: undefined,
          onCancel: undefined,
          cancelled: false,
        };
        // In a promise's own turn, so that a handler that throws is a call that fails.
        Promise.resolve({ is: type, ...fields } as unknown as Request<P>)
          .then((message) => handler(exchange, message)).catch(reject);
      }),
  };
}
