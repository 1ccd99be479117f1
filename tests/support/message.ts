/** Delivered messages taken apart. Not a test itself. @module */
import { runProgram } from "./postern.ts";

/** Header fields that servers on the way put on top. */
const TRACE = ["return-path", "x-original-to", "delivered-to", "received"];

/** A delivered message: what the servers put on top, and what was sent. */
export interface Delivered {
  /** Trace fields from the top, unfolded. */
  readonly trace: readonly string[];
  /** All that follows, byte for byte. */
  readonly rest: Uint8Array;
}

/** Splits a message (lines end with LF) behind its trace fields. */
export function splitDelivered(message: Uint8Array): Delivered {
  const trace: string[] = [];
  let at = 0;
  while (at < message.length) {
    const newline = message.indexOf(0x0a, at);
    const end = newline < 0 ? message.length : newline;
    const line = String.fromCharCode(...message.subarray(at, Math.min(end, at + 2000)));
    const folded = line.startsWith("\t") || line.startsWith(" ");
    if (folded && trace.length > 0) trace.push(`${trace.pop()} ${line.slice(1)}`);
    else if (TRACE.includes(line.slice(0, Math.max(0, line.indexOf(":"))).toLowerCase())) trace.push(line);
    else break;
    at = end + 1;
  }
  return { trace, rest: message.subarray(at) };
}

/** A report as Python's email module reads it. */
export interface Report {
  readonly type: string;
  readonly reportType: string;
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  /** Content types of the parts. */
  readonly parts: readonly string[];
  readonly text: string;
  /** The fields about the message, names in lower case. */
  readonly message: Readonly<Record<string, string>>;
  /** The fields about each recipient, names in lower case. */
  readonly recipients: readonly Readonly<Record<string, string>>[];
  /** The returned message or header, base64. */
  readonly returned: string;
  /** What the module found wrong, in any part. */
  readonly defects: readonly string[];
}

const PROGRAM = `
import base64, email, email.policy, json, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = list(message.iter_parts())
status = parts[1].get_payload()
fields = lambda block: {name.lower(): str(value) for name, value in block.items()}
returned = parts[2].get_payload()
returned = returned[0].as_bytes() if isinstance(returned, list) else returned.encode()
json.dump({
    "type": message.get_content_type(), "reportType": message.get_param("report-type"),
    "from": message["from"], "to": message["to"], "subject": message["subject"],
    "parts": [part.get_content_type() for part in parts], "text": parts[0].get_content(),
    "message": fields(status[0]), "recipients": [fields(block) for block in status[1:]],
    "returned": base64.b64encode(returned).decode(),
    "defects": [str(defect) for part in message.walk() for defect in part.defects],
}, sys.stdout)
`;

/** Reads a delivery status report (RFC 3464) with Python's email module; throws when it cannot. */
export async function readReport(message: Uint8Array): Promise<Report> {
  const done = await runProgram("python3", ["-c", PROGRAM], message);
  if (done.status !== 0) throw new Error(`Cannot read report: ${done.errors}`);
  return JSON.parse(done.output);
}
