/**
 * The configurations that our trivial-rewrite and Debian's are compared in: parameters as main.cf has them, over those
 * of `COMMON`. Not a test itself.
 *
 * @module
 */

/** Parameters as main.cf writes them. */
export type MainCf = Readonly<Record<string, string>>;

/** What all configurations have in common: a host with one domain of each class. */
export const COMMON: MainCf = {
  compatibility_level: "3.6",
  myhostname: "mx.test",
  mydomain: "test",
  myorigin: "$myhostname",
  mydestination: "$myhostname, local.test, localhost",
  inet_interfaces: "127.0.0.1",
  proxy_interfaces: "192.0.2.1",
  alias_maps: "",
  virtual_alias_domains: "alias.test",
  virtual_mailbox_domains: "box.test",
  relay_domains: "relay.test",
};

const TRANSPORT_FORMS = "inline:{slow.test=slow:, nexthop.test=:[gw.test], far.test=slow:[gw.test]:25, " +
  "same.test=:, bare.test=slow, {error.test=error:5.7.1 go away}, mute.test=error:, wait.test=retry:, " +
  "{later.test=retry:4.7.0 later}, a@box.test=slow:[gw.test], .relay.test=slow:, mx.test=slow:, " +
  "alias.test=slow:, evil.test=:, [192.0.2.2]=slow:}";

/** By name, what differs from `COMMON`. */
export const CONFIGURATIONS: Readonly<Record<string, MainCf>> = {
  plain: {},
  "append_dot_mydomain": { append_dot_mydomain: "yes" },
  "append_dot_mydomain and no mydomain of its own": { append_dot_mydomain: "yes", mydomain: "home.example" },
  "no append_at_myorigin": { append_at_myorigin: "no" },
  "no append_at_myorigin, append_dot_mydomain": { append_at_myorigin: "no", append_dot_mydomain: "yes" },
  "no swap_bangpath": { swap_bangpath: "no" },
  "no allow_percent_hack": { allow_percent_hack: "no" },
  "no swap_bangpath, no allow_percent_hack": { swap_bangpath: "no", allow_percent_hack: "no" },
  "no resolve_dequoted_address": { resolve_dequoted_address: "no" },
  "resolve_null_domain": { resolve_null_domain: "yes" },
  "resolve_numeric_domain": { resolve_numeric_domain: "yes", proxy_interfaces: "192.0.2.1, 127.0.0.2" },
  "allow_min_user": { allow_min_user: "yes" },
  "remote_header_rewrite_domain": { remote_header_rewrite_domain: "domain.invalid" },
  "remote_header_rewrite_domain without a dot, append_dot_mydomain": {
    remote_header_rewrite_domain: "invalid",
    append_dot_mydomain: "yes",
  },
  "myorigin elsewhere": { myorigin: "box.test", mydestination: "" },
  "empty_address_recipient": { empty_address_recipient: "nobody", mydestination: "$myhostname" },
  "empty_address_recipient with a domain": { empty_address_recipient: "nobody@relay.test" },
  "transport_maps": { transport_maps: TRANSPORT_FORMS },
  "transport_maps with a relay host": { transport_maps: TRANSPORT_FORMS, relayhost: "[gw.example]:587" },
  "transport_maps with a star": { transport_maps: "inline:{*=slow:[star.test], evil.test=:, box.test=:}" },
  "transport_maps with a star alone": { transport_maps: "inline:{*=error:}" },
  "transport_maps by parents": {
    transport_maps: "inline:{relay.test=slow:, .gone.test=wrong:, test=slow:[top.test]}",
    parent_domain_matches_subdomains: "relay_domains, transport_maps",
  },
  "transport_maps with extensions": {
    recipient_delimiter: "+",
    transport_maps:
      "inline:{a+x@box.test=slow:[ext.test], a@evil.test=slow:[user.test], postmaster@evil.test=slow:[pm.test]}",
  },
  "transport_maps in two tables": {
    transport_maps:
      "inline:{evil.test=slow:[first.test]}, inline:{a@evil.test=slow:[second.test], slow.test=other:}",
  },
  "transport_maps by expression": {
    transport_maps:
      "regexp:{{/^a@/ slow:[user.test]} {/evil\\.test$$/ slow:[rx.test]} {/^\\*$$/ slow:[star.test]}}",
  },
  "transport_maps by a static table": { transport_maps: "static:slow:[all.test]" },
  "transport_maps that fail": { transport_maps: "fail:broken" },
  "relocated_maps": {
    relocated_maps:
      "inline:{{a@mx.test=new@there.test}, {@gone.test=http://there.test/}, {b=b@there.test}, " +
      "{a@alias.test=c@there.test}, {a@box.test=d@there.test}, {a@relay.test=e@there.test}}",
  },
  "relocated_maps with extensions": {
    recipient_delimiter: "+-",
    relocated_maps:
      "inline:{{a@mx.test=new@there.test}, {a+x@mx.test=ext@there.test}, {owner@mx.test=o@there.test}}",
  },
  "relocated_maps with extensions, owners too": {
    recipient_delimiter: "-",
    owner_request_special: "no",
    relocated_maps: "inline:{{owner@mx.test=o@there.test}, {a@mx.test=a@there.test}}",
  },
  "relocated_maps that fail": { relocated_maps: "fail:broken" },
  "relayhost": { relayhost: "[gw.example]:25" },
  "relayhost, a name": { relayhost: "GW.example" },
  "sender_dependent_relayhost_maps": {
    relayhost: "gw.example",
    sender_dependent_relayhost_maps:
      "inline:{s@x.test=[one.test]:25, @y.test=[two.test], <>=null.test, n@x.test=DUNNO, d=dunno, u=up.test}",
  },
  "sender_dependent_relayhost_maps without a relay host": {
    sender_dependent_relayhost_maps: "inline:{s@x.test=[one.test]:25, @y.test=DUNNO, nobody=null.test}",
    empty_address_relayhost_maps_lookup_key: "nobody",
  },
  "sender_dependent_default_transport_maps": {
    relayhost: "gw.example",
    sender_dependent_default_transport_maps:
      "inline:{s@x.test=slow:, @y.test=slow:[two.test], <>=null:, n@x.test=DUNNO, u=bare, {d=error:5.7.1 no}}",
  },
  "sender_dependent_default_transport_maps with a key for the null sender": {
    sender_dependent_default_transport_maps: "inline:{s@x.test=slow, nobody@x.test=null:[null.test]}",
    empty_address_default_transport_maps_lookup_key: "nobody@x.test",
  },
  "both maps by sender": {
    sender_dependent_default_transport_maps: "inline:{s@x.test=slow:, n@x.test=slow:[nt.test]}",
    sender_dependent_relayhost_maps: "inline:{s@x.test=[one.test], n@x.test=[nr.test]}",
    transport_maps: "inline:{slow.test=:[map.test], nexthop.test=other:}",
  },
  "maps by sender with extensions": {
    recipient_delimiter: "+",
    sender_dependent_relayhost_maps: "inline:{s@x.test=[one.test], n+x@x.test=[ext.test]}",
  },
  "maps by sender that fail": { sender_dependent_relayhost_maps: "fail:broken" },
  "default_transport error": { default_transport: "error:5.4.4 no way out" },
  "default_transport with a next hop": { default_transport: "smtp:hub.test", relayhost: "[gw.example]" },
  "transports of all classes": {
    local_transport: "lmtp:unix:/run/lmtp",
    virtual_transport: "lmtp:[127.0.0.1]:24",
    relay_transport: "smtp:[inner.test]",
    default_transport: "slow",
  },
  "transports without next hops": {
    local_transport: "virtual",
    virtual_transport: "dovecot:",
    relay_transport: "smtp",
    relayhost: "[gw.example]",
  },
  "mydestination in a table": { mydestination: "inline:{mx.test=x, local.test=x, .sub.test=x}, localhost" },
  "mydestination with exceptions": {
    mydestination: "!relay.test, inline:{mx.test=x}, local.test, !localhost, localhost",
  },
  "all lists in tables": {
    mydestination: "inline:{mx.test=x}",
    virtual_alias_domains: "inline:{alias.test=x, evil.test=x}",
    virtual_mailbox_domains: "inline:{box.test=x, .relay.test=x}",
    relay_domains: "inline:{relay.test=x, .gone.test=x, [192.0.2.2]=x}",
  },
  "relay_domains with exceptions": { relay_domains: "!x.relay.test, relay.test, !evil.test, static:all" },
  "no parents match": {
    parent_domain_matches_subdomains: "",
    relay_domains: "relay.test, .gone.test, .evil.test",
  },
  "parents match everywhere": {
    parent_domain_matches_subdomains:
      "mydestination, virtual_alias_domains, virtual_mailbox_domains, relay_domains, transport_maps",
    mydestination: "mx.test, local.test",
    transport_maps: "inline:{test=slow:}",
  },
  "domains in two lists": {
    mydestination: "mx.test, box.test",
    virtual_alias_domains: "alias.test, relay.test",
    virtual_mailbox_domains: "box.test, alias.test, evil.test",
    relay_domains: "relay.test, evil.test, mx.test",
  },
  "lists that fail": { virtual_mailbox_domains: "box.test, fail:broken", relay_domains: "relay.test" },
  "mydestination that fails": { mydestination: "mx.test, fail:broken" },
  "a literal in mydestination": { mydestination: "mx.test, [192.0.2.2], [192.0.2.9]" },
  "virtual aliases in a table give the domains": {
    virtual_alias_domains: "$virtual_alias_maps",
    virtual_alias_maps: "inline:{alias.test=x, a@evil.test=b@mx.test}",
    show_user_unknown_table_name: "no",
  },
  "no smtputf8_enable": { smtputf8_enable: "no" },
  "everything unusual": {
    append_dot_mydomain: "yes",
    swap_bangpath: "no",
    allow_percent_hack: "no",
    resolve_dequoted_address: "no",
    resolve_null_domain: "yes",
    resolve_numeric_domain: "yes",
    allow_min_user: "yes",
    recipient_delimiter: "+",
    relayhost: "[gw.example]",
    transport_maps: TRANSPORT_FORMS,
  },
};
