/**
 * Every internal protocol of Postern, in one place. Client and server types come from these tables and from
 * nowhere else. Integers that hold a time are milliseconds since 1970 unless the name says otherwise.
 *
 * @module
 */
import { bytes, choice, flag, integer, list, protocol, text } from "../ipc/protocol.ts";
import { NOTIFY_MOST } from "../mail/notify.ts";
import {
  ADDRESS_LIMIT,
  LOGGED_RECIPIENT,
  OUTCOME,
  QUEUE_ID_LIMIT,
  REASON_LIMIT,
  REPORTED_MESSAGE,
} from "./outcome_fields.ts";
import { FILTER_LIMIT, LENT_FILTER, MACRO, MACRO_LIMIT, MACRO_VALUE_LIMIT } from "./milter_fields.ts";

export { ADDRESS_LIMIT, QUEUE_ID_LIMIT, REASON_LIMIT } from "./outcome_fields.ts";
export { CLEANUP_EXTERNAL, CLEANUP_FLAG, CLEANUP_INTERNAL, CLEANUP_STATUS } from "./cleanup_bits.ts";

/** Longest path of a mailbox below its base, bytes. */
const MAILBOX_PATH_LIMIT = 4000;
/** Longest place of an entry of a table, bytes. */
const PLACE_LIMIT = 4200;
/** Most records bytes in one chunk from a client to cleanup. */
export const CHUNK_LIMIT = 65536;
/** Longest envelope that cleanup passes to qmgr with a message, bytes: beyond it reading the file costs less. */
export const ENVELOPE_LIMIT = 16384;
/** Most lines that proxymap is asked about at once, and the longest of them, bytes. */
export const LINES_LIMIT = 1024;
export const LINE_LIMIT = 1024 * 1024;
/** Longest key and value in a cache, bytes. */
export const CACHE_KEY_LIMIT = 1024;
export const CACHE_VALUE_LIMIT = 4096;
/** Most recipients in one delivery request. */
export const REQUEST_RECIPIENT_LIMIT = 10000;

/**
 * cleanup: takes a message as records of the queue file format and makes the queue file.
 * begin -> (queueId); records* ; finish -> status. A client that breaks off sends cancel, or just goes away.
 *
 * smtpd has the connections with the milters of its client. It says `milters` before `finish`; then cleanup tells them
 * the content through it: each milterWrite and milterRead is answered by one milterDone.
 */
export const CLEANUP = protocol({
  name: "cleanup",
  version: 2,
  requests: {
    /** Opens a message. `flags` are CLEANUP_FLAG bits. */
    begin: { fields: { flags: integer(0xffff) } },
    /** Whole records: type byte, length, data; see lib/mail/record.ts. */
    records: { fields: { records: bytes(CHUNK_LIMIT) }, flow: true },
    /** The filters that want to see the content, what was agreed on with them, and values of macros. */
    milters: {
      fields: {
        /** CLEANUP_FLAG bits that filters have added: HOLD, DISCARD. */
        flags: integer(0xffff),
        filters: list(FILTER_LIMIT, LENT_FILTER),
        macros: list(MACRO_LIMIT, { ...MACRO, value: text(MACRO_VALUE_LIMIT) }),
      },
    },
    /** What was written or read; `why` is not empty when the filter is lost. */
    milterDone: {
      fields: {
        filter: integer(FILTER_LIMIT),
        what: choice("written", "read"),
        bytes: bytes(CHUNK_LIMIT),
        why: text(REASON_LIMIT),
      },
    },
    /** The E record has been sent: commit and answer. */
    finish: { fields: {} },
  },
  replies: {
    queueId: { fields: { queueId: text(QUEUE_ID_LIMIT) } },
    milterWrite: { fields: { filter: integer(FILTER_LIMIT), bytes: bytes(CHUNK_LIMIT) } },
    milterRead: { fields: { filter: integer(FILTER_LIMIT) } },
    /** The filter has failed: it is told nothing more. */
    milterClose: { fields: { filter: integer(FILTER_LIMIT) } },
    /** `status` is a set of CLEANUP_STATUS bits, 0 for success; `reason` may be empty. */
    status: { fields: { status: integer(0xffff), reason: text(REASON_LIMIT) }, last: true },
  },
});

/** trivial-rewrite: address rewriting and resolution. */
export const REWRITE = protocol({
  name: "rewrite",
  version: 1,
  repeatable: true,
  requests: {
    /** Both addresses in external form: local part in quotes where it needs them. */
    rewrite: { fields: { context: choice("local", "remote"), address: text(ADDRESS_LIMIT) } },
    /** All addresses in internal form: no quotes, the last `@` separates. */
    resolve: { fields: { sender: text(ADDRESS_LIMIT), address: text(ADDRESS_LIMIT) } },
    /** The same for a probe of the address (address_verify_*). */
    resolveProbe: { fields: { sender: text(ADDRESS_LIMIT), address: text(ADDRESS_LIMIT) } },
  },
  replies: {
    rewritten: { fields: { address: text(ADDRESS_LIMIT) }, last: true },
    resolved: {
      fields: {
        transport: text(100),
        nexthop: text(1024),
        recipient: text(ADDRESS_LIMIT),
        class: choice("local", "alias", "virtual", "relay", "default"),
        /** The recipient has sender-specified routing (`@ ! %` in the local part): never one of ours for relaying. */
        routed: flag(),
        /** Syntax error in the address. */
        bad: flag(),
      },
      last: true,
    },
    /** A table failed: the client must answer 4xx or defer. */
    retry: { fields: { reason: text(REASON_LIMIT) }, last: true },
  },
});

/**
 * proxymap: look-ups in the tables that the configuration names, for daemons that may open no file. The client
 * names the parameter, not a file, and the way to search.
 */
export const PROXYMAP = protocol({
  name: "proxymap",
  version: 1,
  repeatable: true,
  requests: {
    find: {
      fields: {
        /** Parameter whose value is the list of tables, as virtual_alias_maps; or a domain or address list. */
        parameter: text(100),
        /** Empty for all tables of the parameter; else the one of them to search, written as in the parameter. */
        table: text(16384),
        /** key: the key as it is. address: user+ext@domain, user@domain, user+ext, user, @domain. access: user+ext@domain, user@domain, domain, parents, user+ext@, user@. domain: name and parents. transport: transport_maps order. client: host name, parents, address, networks; key is "name address". list: as the parameter's kind of list matches; key of an address list is "name address". */
        search: choice("key", "address", "access", "domain", "transport", "client", "list"),
        key: text(ADDRESS_LIMIT + 64),
      },
    },
    /** Headers or lines of a body, each as a whole key: one request for many, as a message has many. */
    lines: { fields: { parameter: text(100), lines: list(LINES_LIMIT, { line: bytes(LINE_LIMIT) }) } },
  },
  replies: {
    /** What the tables have for the first `done` of the lines, by index; the caller asks for the others again. */
    matched: {
      fields: {
        done: integer(LINES_LIMIT),
        matches: list(LINES_LIMIT, { index: integer(LINES_LIMIT), value: bytes(65536) }),
      },
      last: true,
    },
    found: {
      fields: {
        value: text(65536),
        /** Address extension that the matching key did not hold, with its delimiter; empty if none. */
        extension: text(ADDRESS_LIMIT),
        /** Where the entry stands, "FILE:LINE"; told when one table is named and its content is a text file. */
        place: text(PLACE_LIMIT),
      },
      last: true,
    },
    missing: { fields: {}, last: true },
    retry: { fields: { reason: text(REASON_LIMIT) }, last: true },
  },
});

/** qmgr: told of new queue files and of what an administrator wants. */
export const QMGR = protocol({
  name: "qmgr",
  version: 3,
  requests: {
    /** A file is committed in incoming/. A hint: a scan finds it as well. */
    queued: { fields: { queueId: text(QUEUE_ID_LIMIT) }, oneway: true },
    /**
     * The same with the file's envelope: `head` is what stands before the content, `tail` what stands behind. Only
     * from who knows the key that master gave cleanup and qmgr: anybody may connect, and an envelope is believed.
     */
    accepted: {
      fields: {
        key: text(64),
        queueId: text(QUEUE_ID_LIMIT),
        head: bytes(ENVELOPE_LIMIT),
        tail: bytes(ENVELOPE_LIMIT),
      },
      oneway: true,
    },
    /** Postfix's trigger bytes: W or I scan incoming, D scan deferred, A ignore file times, F forget dead destinations. */
    trigger: { fields: { bytes: text(64) }, oneway: true },
    /** Postfix's flush of one message. `unthrottle`: whatever is known of its destinations. */
    deliver: { fields: { queueId: text(QUEUE_ID_LIMIT), unthrottle: flag() } },
    /** Asks to be told when mail comes in faster than it is taken: `pace` now and then, `over` when qmgr ends. */
    watch: { fields: {} },
  },
  replies: {
    done: { fields: { found: flag() }, last: true },
    pace: { fields: { held: flag() } },
    over: { fields: {}, last: true },
  },
});

/** Longest response of a client or challenge of a server in SASL, bytes. */
export const SASL_LIMIT = 65536;

/**
 * sasl: checks logins against the password file.
 * start -> (challenge, respond)* -> success, failure or trouble.
 */
export const SASL = protocol({
  name: "sasl",
  version: 1,
  requests: {
    mechanisms: { fields: {} },
    /** `hasInitial`: the client sent a response with AUTH, which may be empty. */
    start: {
      fields: {
        mechanism: text(64),
        hasInitial: flag(),
        initial: bytes(SASL_LIMIT),
        /** What is added to a name without "@"; empty: nothing. */
        realm: text(255),
      },
    },
    respond: { fields: { response: bytes(SASL_LIMIT) } },
  },
  replies: {
    mechanisms: { fields: { names: list(16, { name: text(64) }) }, last: true },
    challenge: { fields: { data: bytes(SASL_LIMIT) } },
    success: { fields: { username: text(ADDRESS_LIMIT) }, last: true },
    /** `username`: who was claimed, or empty. */
    failure: { fields: { reason: text(REASON_LIMIT), username: text(ADDRESS_LIMIT) }, last: true },
    trouble: { fields: { reason: text(REASON_LIMIT) }, last: true },
  },
});

/** flush: lists of what waits for a destination (ETRN, postqueue -s). */
export const FLUSH = protocol({
  name: "flush",
  version: 1,
  requests: {
    /** A message was deferred that has a recipient at the site. A hint. */
    add: { fields: { site: text(ADDRESS_LIMIT), queueId: text(QUEUE_ID_LIMIT) }, oneway: true },
    /** Deliver now what waits for the site. */
    sendSite: { fields: { site: text(ADDRESS_LIMIT) } },
    /** Ask for the messages of all lists, destinations in trouble left alone. */
    purge: { fields: {}, oneway: true },
  },
  replies: {
    /** ok: asked for. denied: no list is kept for the site. bad: no name of a site. fail: trouble that may pass. */
    done: { fields: { status: choice("ok", "denied", "bad", "fail") }, last: true },
  },
});

/** verify: what is known of addresses by probes. */
export const VERIFY = protocol({
  name: "verify",
  version: 1,
  requests: {
    /** What is known; an address of which nothing is known, or nothing new, is probed. */
    query: { fields: { address: text(ADDRESS_LIMIT) } },
    /** What a probe has found. */
    update: {
      fields: {
        address: text(ADDRESS_LIMIT),
        status: choice("ok", "undeliverable", "deferred"),
        /** The reason, as the log has it. */
        text: text(REASON_LIMIT),
      },
      oneway: true,
    },
  },
  replies: {
    result: {
      fields: { status: choice("ok", "undeliverable", "deferred", "unknown"), text: text(REASON_LIMIT) },
      last: true,
    },
  },
});

/** Delivery agents: qmgr hands over one message's recipients for one destination. */
export const DELIVERY = protocol({
  name: "delivery",
  version: 3,
  requests: {
    deliver: {
      fields: {
        queueId: text(QUEUE_ID_LIMIT),
        /** Always "active" today; a name, not a path. */
        queueName: text(100),
        /** Offset of the content segment in the queue file, bytes. */
        dataOffset: integer(),
        /** Content length as the user sees it, bytes. */
        dataSize: integer(),
        nexthop: text(1024),
        encoding: choice("", "7bit", "8bit"),
        /** The message needs SMTPUTF8. */
        smtputf8: flag(),
        sender: text(ADDRESS_LIMIT),
        envelopeId: text(256),
        /** RET: 0 none, 1 full, 2 headers. */
        ret: integer(3),
        /** For the log's delays=a/b/c/d: message arrival at the client's first byte, and when qmgr took it. */
        arrivalTime: integer(),
        activeTime: integer(),
        clientName: text(255),
        clientAddress: text(64),
        clientPort: text(16),
        protocolName: text(32),
        heloName: text(512),
        saslMethod: text(64),
        saslUsername: text(256),
        saslSender: text(ADDRESS_LIMIT),
        logIdent: text(QUEUE_ID_LIMIT),
        rewriteContext: choice("local", "remote"),
        /** Say what would become of the recipients, and deliver nothing (`sendmail -bv`). */
        probe: flag(),
        recipients: list(REQUEST_RECIPIENT_LIMIT, {
          /** Offset of its record in the queue file: the recipient's name in the replies. */
          offset: integer(),
          address: text(ADDRESS_LIMIT),
          originalRecipient: text(ADDRESS_LIMIT),
          dsnOriginalRecipient: text(ADDRESS_LIMIT),
          notify: integer(NOTIFY_MOST),
        }),
      },
    },
  },
  replies: {
    /** One recipient is settled. May come at any time, once for each recipient. */
    recipient: { fields: { offset: integer(), ...OUTCOME } },
    /**
     * The same for one that failed for good, of which not the message's sender is to hear but this address, the owner
     * of a list (owner_request_special).
     */
    ownedRecipient: { fields: { offset: integer(), owner: text(ADDRESS_LIMIT), ...OUTCOME } },
    /**
     * The request is over; recipients not reported are deferred by qmgr. `site` is empty, or the reason why the
     * destination itself is in trouble (feeds qmgr's concurrency control).
     */
    finished: { fields: { siteStatus: text(16), site: text(REASON_LIMIT) }, last: true },
  },
});

/** bounce, defer and trace: three services of one program. */
export const BOUNCE = protocol({
  name: "bounce",
  version: 2,
  requests: {
    /** Appends one recipient's outcome to the message's log and syncs it. */
    append: { fields: { queueId: text(QUEUE_ID_LIMIT), ...LOGGED_RECIPIENT } },
    /** Reports one recipient's failure at once, to another address than the message's sender; no log is kept. */
    returnOne: { fields: { ...REPORTED_MESSAGE, ...LOGGED_RECIPIENT } },
    /** Sends the report that the log's recipients call for, then removes the log. */
    flush: {
      fields: {
        ...REPORTED_MESSAGE,
        /** failure: non-delivery. delay: warning, the log stays. success, verify: trace; verify is for `sendmail -v`. */
        report: choice("failure", "delay", "success", "verify"),
        /** VERP delimiters: one report for each recipient, to the address that names it; empty: one for all. */
        verp: text(2),
      },
    },
    /** Removes a message's log. */
    drop: { fields: { queueId: text(QUEUE_ID_LIMIT) } },
  },
  replies: {
    done: { fields: {}, last: true },
    failed: { fields: { reason: text(REASON_LIMIT) }, last: true },
  },
});

/** dns: the only way to the resolver. */
export const DNS = protocol({
  name: "dns",
  version: 1,
  repeatable: true,
  requests: {
    query: {
      fields: {
        name: text(1024),
        type: choice("A", "AAAA", "CNAME", "MX", "NS", "PTR", "SRV", "TLSA", "TXT"),
      },
    },
  },
  replies: {
    answer: {
      fields: {
        /** ok: records may be empty (NODATA). Everything else is for the caller to tell apart. */
        rcode: choice("ok", "nxdomain", "servfail", "refused", "timeout", "malformed", "loop", "other"),
        /** DNSSEC-validated, as a trusted resolver says. */
        authenticated: flag(),
        /** Seconds; the least of the answer's. */
        ttl: integer(),
        /** The name that the answer is about after CNAMEs. */
        canonicalName: text(1024),
        records: list(1000, {
          /** MX preference, SRV priority; 0 otherwise. */
          priority: integer(65535),
          weight: integer(65535),
          port: integer(65535),
          /** Host name, address, or TXT text. Host names are checked; one that is no host name is left out. */
          value: text(65535),
          /** TLSA: usage, selector, matching type, then the data. */
          data: bytes(65535),
        }),
      },
      last: true,
    },
  },
});

/** pickup: told to look into maildrop/. */
export const PICKUP = protocol({
  name: "pickup",
  version: 1,
  requests: { trigger: { fields: {}, oneway: true } },
  replies: {},
});

/**
 * showq: the queue's listing. A message with many recipients comes as several `message` replies in a row with the
 * same id; `page` asks the client to say `more`, so that a slow reader holds the listing up and not in memory.
 */
export const SHOWQ = protocol({
  name: "showq",
  version: 1,
  requests: { list: { fields: {} }, more: { fields: {} } },
  replies: {
    message: {
      fields: {
        queueName: text(100),
        queueId: text(QUEUE_ID_LIMIT),
        arrivalTime: integer(),
        size: integer(),
        forcedExpire: flag(),
        sender: text(ADDRESS_LIMIT),
        recipients: list(REQUEST_RECIPIENT_LIMIT, {
          address: text(ADDRESS_LIMIT),
          originalRecipient: text(ADDRESS_LIMIT),
          /** From the defer or bounce log; both empty when there is no reason yet. */
          delayReason: text(REASON_LIMIT),
          bounceReason: text(REASON_LIMIT),
        }),
      },
    },
    page: { fields: {} },
    end: { fields: {}, last: true },
  },
});

/** Longest path of a file or program, bytes. */
const PATH_LIMIT = 4095;
/** Longest argument of a program, and most of them; the system's own limits are 128 KiB and 2 MiB for all. */
const ARGUMENT_LIMIT = 65536;
const ARGUMENTS_LIMIT = 20_000;
/** What is kept of a program's output, bytes (Postfix: 4096 characters). */
export const OUTPUT_LIMIT = 4096;

/**
 * mailbox: a helper process that may write one mailbox, read a user's files or run one program, started by master for
 * local, virtual or pipe. The helper serves; its only connection is the one that it inherited. Which of the requests
 * it answers follows from what it was started for.
 */
export const MAILBOX = protocol({
  name: "mailbox",
  version: 3,
  requests: {
    /** The content of the first of the helper's files that exists. */
    read: { fields: {} },
    /** Runs the helper's program. `arguments` stand behind those that master has given it. */
    run: {
      fields: {
        queueId: text(QUEUE_ID_LIMIT),
        directory: text(PATH_LIMIT),
        arguments: list(ARGUMENTS_LIMIT, { value: text(ARGUMENT_LIMIT) }),
        environment: list(100, { name: text(64), value: text(ARGUMENT_LIMIT) }),
      },
    },
    /** `path`: where the mailbox is below the directory of a helper of many; empty for a helper of one. */
    begin: {
      fields: {
        queueId: text(QUEUE_ID_LIMIT),
        sender: text(ADDRESS_LIMIT),
        path: text(MAILBOX_PATH_LIMIT),
        format: choice("maildir", "mbox"),
      },
    },
    /** Message text as it goes into the mailbox file: LF line ends, headers that the agent prepends included. */
    content: { fields: { content: bytes(CHUNK_LIMIT) }, flow: true },
    finish: { fields: {} },
  },
  replies: {
    outcome: {
      fields: { result: choice("sent", "bounced", "deferred"), status: text(16), reason: text(REASON_LIMIT) },
      last: true,
    },
    /** How the program ended, and what it said first. */
    ended: {
      fields: {
        /** failed: it could not be started, and `output` says why. */
        how: choice("exit", "signal", "timeout", "failed"),
        code: integer(255),
        output: bytes(OUTPUT_LIMIT),
      },
      last: true,
    },
    /** A piece of the file; `file` follows. */
    piece: { fields: { content: bytes(CHUNK_LIMIT) } },
    /** Which of the files it was and what is to be thought of it; missing: none of them is there. */
    file: {
      fields: {
        kind: choice("read", "missing", "refused", "retry"),
        index: integer(100),
        why: text(REASON_LIMIT),
      },
      last: true,
    },
  },
});

/**
 * anvil: how much one client does at all servers of a service. An exchange is one connection of a client, and ends with it.
 */
export const ANVIL = protocol({
  name: "anvil",
  version: 1,
  requests: {
    /** First in each exchange. `client` is an address, or a network with its prefix length. */
    connect: { fields: { service: text(255), client: text(64) } },
    count: { fields: { event: choice("message", "recipient", "newtls", "auth") } },
    /** How often it did, and counts nothing. */
    look: { fields: { event: choice("message", "recipient", "newtls", "auth") } },
  },
  replies: {
    /** Connections of the client now, this one included, and in this unit of time. */
    connected: { fields: { count: integer(), rate: integer() } },
    rate: { fields: { rate: integer() } },
  },
});

/** dnsblog: what a DNS block list says of a client. No addresses: not listed. `failed`: nobody knows. `ttl`: seconds. */
export const DNSBLOG = protocol({
  name: "dnsblog",
  version: 1,
  repeatable: true,
  requests: { look: { fields: { domain: text(255), address: text(64) } } },
  replies: {
    listed: {
      fields: { addresses: list(100, { address: text(64) }), ttl: integer(), failed: flag() },
      last: true,
    },
  },
});

const CACHE_PLACE = { map: text(100), key: text(CACHE_KEY_LIMIT) } as const;

/**
 * proxywrite: caches that outlive their daemons, for daemons that may write no file. A map is named by the parameter that
 * says where it is. What is put is on the disk a moment later, or not at all: a cache is no record.
 */
export const CACHE = protocol({
  name: "cache",
  version: 1,
  repeatable: true,
  requests: {
    get: { fields: CACHE_PLACE },
    /** `expires`: seconds since 1970, when it may be forgotten. */
    put: { fields: { ...CACHE_PLACE, value: text(CACHE_VALUE_LIMIT), expires: integer() }, oneway: true },
  },
  replies: {
    found: { fields: { value: text(CACHE_VALUE_LIMIT) }, last: true },
    missing: { fields: {}, last: true },
  },
});
