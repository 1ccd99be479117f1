/**
 * What is measured: a case is a row. Both systems get the same settings and the same load.
 *
 * @module
 */

/** The value of a parameter, written as TOML for Postern and as main.cf for Postfix. */
export type Setting = string | number | boolean | readonly string[];
export type Settings = Readonly<Record<string, Setting>>;

/** What is sent in one run. */
export interface Load {
  /**
   * Debian's smtp-source, with the latency probe beside it; or the probe alone, one message after the other over one
   * session: smtp-source knows one recipient domain only, and does not tell what it waited for.
   */
  readonly client: "smtp-source" | "probe";
  readonly messages: number;
  readonly sessions: number;
  /** Whether a session sends one message after the other (smtp-source -d). */
  readonly keepOpen: boolean;
  /** Bytes of a message's content. */
  readonly length: number;
  /** Recipients of each message, at so many domains. */
  readonly recipients: number;
  readonly domains: number;
  readonly to: string;
  /** Whether each message has a recipient of its own: a number and `to` (smtp-source -N). */
  readonly numbered: boolean;
}

/** Where a system and its load find what the benchmark made for them. */
export interface Place {
  /** Port of smtp-sink. */
  readonly sink: number;
  /** The table of mailboxes. */
  readonly mailboxes: string;
  /** The directory of the system's mailboxes. */
  readonly mail: string;
}

/** One row of the benchmark. */
export interface Case {
  readonly letter: string;
  readonly title: string;
  /** The load where --messages is so much. */
  readonly load: (messages: number) => Load;
  /** Where the mail goes. */
  readonly route: (place: Place) => Settings;
  readonly settings?: Settings;
  /** Parameters that only Postern has. */
  readonly postern?: Settings;
  /** Messages that wait in deferred/ all the time. */
  readonly deferred?: (messages: number) => number;
  /** Daemons whose single processes are watched: they may not grow with the message or the queue. */
  readonly daemons?: readonly string[];
}

/** --messages of a full run. */
export const FULL = 3000;
/** Mailboxes of case e. */
export const MAILDIRS = 100;
/** Who mailboxes belong to: nobody. */
export const MAIL_ID = 65534;

const LOAD: Load = {
  client: "smtp-source",
  messages: FULL,
  sessions: 20,
  keepOpen: true,
  length: 1024,
  recipients: 1,
  domains: 1,
  to: "you@far.test",
  numbered: false,
};

const discard = (): Settings => ({ default_transport: "discard:" });
const sink = ({ sink }: Place): Settings => ({ default_transport: "smtp", relayhost: `[127.0.0.1]:${sink}` });
const maildirs = ({ mailboxes, mail }: Place): Settings => ({
  virtual_mailbox_domains: ["box.test"],
  virtual_mailbox_maps: [`texthash:${mailboxes}`],
  virtual_mailbox_base: mail,
  virtual_uid_maps: [`static:${MAIL_ID}`],
  virtual_gid_maps: [`static:${MAIL_ID}`],
});

export const CASES: readonly Case[] = [
  {
    letter: "a",
    title: "discard, 1 KiB, kept-open sessions",
    load: (messages) => ({ ...LOAD, messages }),
    route: discard,
  },
  {
    letter: "b",
    title: "discard, 1 KiB, a connection for each message",
    load: (messages) => ({ ...LOAD, messages, keepOpen: false }),
    route: discard,
  },
  {
    letter: "c",
    title: "discard, 20 KiB, many sessions",
    load: (messages) => ({ ...LOAD, messages: part(messages, 0.5), sessions: 100, length: 20 * 1024 }),
    route: discard,
    // Postfix's smtpd would be under "stress" at 100 sessions, and the probe's would wait outside.
    settings: { default_process_limit: 150 },
  },
  {
    letter: "d",
    title: "relay to smtp-sink",
    load: (messages) => ({ ...LOAD, messages: part(messages, 0.5) }),
    route: sink,
  },
  {
    letter: "e",
    title: `delivery to ${MAILDIRS} Maildirs`,
    load: (messages) => ({ ...LOAD, messages, to: "you@box.test", numbered: true }),
    route: maildirs,
  },
  {
    letter: "f",
    title: "one message to many recipients at 100 domains",
    load: (messages) => ({
      ...LOAD,
      client: "probe",
      messages: 1,
      sessions: 1,
      recipients: shape(10_000, messages),
      domains: 100,
    }),
    route: discard,
    settings: { smtpd_recipient_limit: 20_000 },
    daemons: ["smtpd", "cleanup", "qmgr", "discard"],
  },
  {
    letter: "g",
    title: "a large message, relayed to smtp-sink",
    load: (messages) => ({
      ...LOAD,
      client: "probe",
      messages: 2,
      sessions: 1,
      length: shape(50_000_000, messages),
    }),
    route: sink,
    settings: { message_size_limit: 60_000_000, mailbox_size_limit: 0, virtual_mailbox_limit: 0 },
    daemons: ["smtpd", "cleanup", "qmgr", "smtp"],
  },
  {
    letter: "h",
    title: "as (a), beside deferred messages in the queue",
    load: (messages) => ({ ...LOAD, messages }),
    route: discard,
    deferred: (messages) => shape(100_000, messages),
    daemons: ["smtpd", "cleanup", "qmgr", "discard"],
  },
  {
    letter: "i",
    title: "one client, one session, one message at a time",
    load: (messages) => ({ ...LOAD, client: "probe", messages: part(messages, 0.3), sessions: 1 }),
    route: discard,
  },
  {
    letter: "j",
    title: `as (e), one helper for all ${MAILDIRS} Maildirs`,
    load: (messages) => ({ ...LOAD, messages, to: "you@box.test", numbered: true }),
    route: maildirs,
    postern: { virtual_mailbox_shared_helper: true },
  },
  {
    letter: "k",
    title: "relay to smtp-sink, one session in front",
    load: (messages) => ({ ...LOAD, messages: part(messages, 0.5), sessions: 1 }),
    route: sink,
  },
  {
    letter: "l",
    title: "relay to smtp-sink, many sessions in front",
    load: (messages) => ({ ...LOAD, messages: part(messages, 0.5), sessions: 100 }),
    route: sink,
    settings: { default_process_limit: 150 },
  },
];

/** The load in words. */
export function describeLoad({ client, messages, sessions, length, recipients, domains }: Load): string {
  const to = recipients > 1 ? ` to ${recipients} recipients at ${domains} domains` : "";
  const by = client === "probe"
    ? "one after the other by the probe"
    : `over ${sessions} sessions by smtp-source`;
  return `${messages} message${messages === 1 ? "" : "s"} of ${length} bytes${to}, ${by}`;
}

function part(messages: number, share: number): number {
  return Math.max(1, Math.round(messages * share));
}

/** What makes a case what it is, full size from --messages 3000 on, and less of it in smaller runs. */
function shape(full: number, messages: number): number {
  return Math.ceil(full * Math.min(1, messages / FULL));
}
