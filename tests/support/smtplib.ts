/** Python's smtplib as a client, driven from TypeScript. Not a test itself. @module */
import { runProgram } from "./postern.ts";

/** One message to send. */
export interface Post {
  readonly from: string;
  readonly to: readonly string[];
  /** Parameters of MAIL. */
  readonly options?: readonly string[];
  /** Parameters of each RCPT. */
  readonly rcptOptions?: readonly string[];
  readonly content: Uint8Array;
  /** Sent as it is: no line ends mended, no dot stuffed, no end of data added. */
  readonly raw?: true;
}

/** What came of it: the codes of the replies, and the text of the last. */
export interface Posted {
  readonly rcpt: readonly number[];
  readonly code: number;
  readonly text: string;
}

const PROGRAM = `
import base64, json, smtplib, sys
job = json.load(sys.stdin)
results = []
with smtplib.SMTP("127.0.0.1", job["port"], timeout=60) as client:
    client.ehlo("python.test")
    for post in job["posts"]:
        code, text = client.mail(post["from"], post["options"])
        rcpt = []
        if code == 250:
            for address in post["to"]:
                reply = client.rcpt(address, post["rcptOptions"])
                rcpt.append(reply[0])
            content = base64.b64decode(post["content"])
            if post["raw"]:
                code, text = client.docmd("DATA")
                if code == 354:
                    client.send(content)
                    code, text = client.getreply()
            else:
                try:
                    code, text = client.data(content)
                except smtplib.SMTPDataError as error:
                    code, text = error.smtp_code, error.smtp_error
        if code != 250:
            client.rset()
        results.append({"rcpt": rcpt, "code": code, "text": text.decode()})
json.dump(results, sys.stdout)
`;

/** Sends messages over one connection of Python's smtplib. */
export async function sendWithPython(port: number, posts: readonly Post[]): Promise<Posted[]> {
  const jobs = posts.map(({ from, to, options = [], rcptOptions = [], content, raw = false }) => {
    return { from, to, options, rcptOptions, content: content.toBase64(), raw };
  });
  const done = await runProgram("python3", ["-c", PROGRAM], JSON.stringify({ port, posts: jobs }));
  if (done.status !== 0) throw new Error(`python3: ${done.errors}`);
  return JSON.parse(done.output);
}
