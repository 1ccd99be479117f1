/**
 * The services of a filter behind the queue, as Postfix's FILTER_README has them: the client that leads to it, and the
 * server that takes what it gives back. Not a test itself.
 *
 * @module
 */

/** The server: it takes what the filter gives back, and does nothing twice. */
export const AGAIN = {
  content_filter: "",
  receive_override_options:
    "no_unknown_recipient_checks,no_header_body_checks,no_milters,no_address_mappings",
  local_header_rewrite_clients: "",
  mynetworks: "127.0.0.0/8",
  smtpd_authorized_xforward_hosts: "127.0.0.0/8",
};
/** The client. */
export const SCAN = { smtp_send_xforward_command: "yes", disable_mime_output_conversion: "yes" };

/**
 * Both for master.toml: `scan`, and the server.
 *
 * @param again port of the server, on loopback
 */
export function filterServices(again: number): string {
  return `
[[service]]
name = "127.0.0.1:${again}"
type = "inet"
private = false
command = "smtpd"
parameters = { ${toml(AGAIN)} }

[[service]]
name = "scan"
type = "unix"
command = "smtp"
parameters = { ${toml(SCAN)} }
`;
}

function toml(values: Readonly<Record<string, string>>): string {
  return Object.entries(values).map(([name, value]) =>
    `${name} = ${
      /^(yes|no)$/.test(value)
        ? value === "yes"
        : value.includes(",") || name === "mynetworks" || name.endsWith("clients") || name.endsWith("hosts")
        ? JSON.stringify(value === "" ? [] : value.split(","))
        : JSON.stringify(value)
    }`
  ).join(", ");
}
