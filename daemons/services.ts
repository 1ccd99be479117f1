/**
 * The list of all daemons' declarations, read by master, by `postern sandbox` and by the installer.
 *
 * @module
 */
import type { Service } from "../lib/server/service.ts";
import { SERVICE as anvil } from "./anvil/service.ts";
import { SERVICE as bounce } from "./bounce/service.ts";
import { SERVICE as cleanup } from "./cleanup/service.ts";
import { SERVICE as discard } from "./discard/service.ts";
import { SERVICE as dns } from "./dns/service.ts";
import { SERVICE as dnsblog } from "./dnsblog/service.ts";
import { SERVICE as error } from "./error/service.ts";
import { SERVICE as filter } from "./filter/service.ts";
import { SERVICE as flush } from "./flush/service.ts";
import { SERVICE as lmtp } from "./lmtp/service.ts";
import { SERVICE as local } from "./local/service.ts";
import { SERVICE as mailbox } from "./mailbox/service.ts";
import { SERVICE as pickup } from "./pickup/service.ts";
import { SERVICE as pipe } from "./pipe/service.ts";
import { SERVICE as policy } from "./policy/service.ts";
import { SERVICE as postscreen } from "./postscreen/service.ts";
import { SERVICE as program } from "./program/service.ts";
import { SERVICE as proxymap } from "./proxymap/service.ts";
import { SERVICE as proxywrite } from "./proxywrite/service.ts";
import { SERVICE as qmgr } from "./qmgr/service.ts";
import { SERVICE as sasl } from "./sasl/service.ts";
import { SERVICE as qmqpd } from "./qmqpd/service.ts";
import { SERVICE as showq } from "./showq/service.ts";
import { SERVICE as smtp } from "./smtp/service.ts";
import { SERVICE as smtpd } from "./smtpd/service.ts";
import { SERVICE as spawn } from "./spawn/service.ts";
import { SERVICE as tlsproxy } from "./tlsproxy/service.ts";
import { SERVICE as sts } from "./sts/service.ts";
import { SERVICE as tlsrpt } from "./tlsrpt/service.ts";
import { SERVICE as trivialRewrite } from "./trivial-rewrite/service.ts";
import { SERVICE as verify } from "./verify/service.ts";
import { SERVICE as virtual } from "./virtual/service.ts";

/** Every daemon but master, by the name of its program. */
export const SERVICES: ReadonlyMap<string, Service> = new Map(
  [
    anvil,
    bounce,
    cleanup,
    discard,
    dns,
    dnsblog,
    error,
    filter,
    flush,
    lmtp,
    local,
    mailbox,
    pickup,
    pipe,
    policy,
    postscreen,
    program,
    proxymap,
    proxywrite,
    qmgr,
    qmqpd,
    sasl,
    showq,
    smtp,
    smtpd,
    spawn,
    tlsproxy,
    sts,
    tlsrpt,
    trivialRewrite,
    verify,
    virtual,
  ].map((service: Service) => [service.command, service]),
);

/** The programs that master.toml may name: helpers are started on a daemon's request only. */
export const COMMANDS: readonly string[] = [...SERVICES.values()]
  .filter(({ skeleton }) => skeleton !== "helper").map(({ command }) => command);
