/** Answers of web servers, honest and not. @module */
import assert from "node:assert/strict";
import tls from "node:tls";
import { parseCertificate } from "../../../lib/tls/client_certificate.ts";
import { askHttps, type HttpsResponse } from "../../../lib/tls/client_https.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { testNeeding } from "../../support/tools.ts";

interface AnswerCase {
  readonly answer: string;
  /** "STATUS TYPE body", or a part of why there is none. */
  readonly expected: string;
}

const CASES: readonly AnswerCase[] = [
  {
    answer:
      "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello, and more",
    expected: "200 text/plain hello",
  },
  { answer: "HTTP/1.0 200 OK\n\nuntil the end", expected: "200  until the end" },
  {
    answer:
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    expected: "200  abc0123456789",
  },
  {
    answer: "HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n",
    expected: "302  ",
  },
  { answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshort", expected: "answer ends early" },
  { answer: "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", expected: "longer than 100 bytes" },
  { answer: `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(101)}`, expected: "longer than 100 bytes" },
  {
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    expected: "longer than 100 bytes",
  },
  { answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", expected: "malformed chunk" },
  { answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", expected: "malformed chunk" },
  { answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", expected: "unknown transfer coding" },
  {
    answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    expected: "unknown transfer coding",
  },
  { answer: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", expected: "malformed length" },
  { answer: `HTTP/1.1 200 OK\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, expected: "head is too long" },
  { answer: "X: y\r\n".repeat(4000), expected: "not HTTP" },
  { answer: `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(4000)}\r\n`, expected: "head is too long" },
  { answer: "220 mail.test ESMTP\r\n", expected: "not HTTP" },
  { answer: "HTTP/1.1 2000 OK\r\n\r\n", expected: "not HTTP" },
  { answer: "", expected: "answer ends early" },
];

function brief(response: HttpsResponse): string {
  return response.kind === "failed"
    ? response.why
    : `${response.status} ${response.type} ${new TextDecoder().decode(response.body)}`;
}

testNeeding(["openssl"], "answers of web servers", async (t) => {
  using chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  chains.make("web", { issuer: "root", extensions: server("web.test") });
  const anchors = { certificates: [parseCertificate(chains.der("root"))], keys: [] };
  let answer = "";
  let heard = "";
  const options = {
    key: Deno.readTextFileSync(chains.key("web")),
    cert: Deno.readTextFileSync(chains.path("web")),
  };
  const web = tls.createServer(options, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes: Uint8Array) => {
      heard = new TextDecoder().decode(bytes);
      if (answer === "SILENCE") return;
      if (answer === "") socket.end();
      else socket.end(answer);
    });
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const { port } = web.address() as { port: number };
  const ask = (host = "web.test", timeoutMs = 5000, trusted = anchors) =>
    askHttps({
      method: "GET",
      host,
      addresses: ["127.0.0.1"],
      port,
      path: "/p",
      anchors: trusted,
      timeoutMs,
      bodyLimit: 100,
    });
  for (const one of CASES) {
    await t.step(`${JSON.stringify(one.answer.slice(0, 60))} is ${one.expected}`, async () => {
      answer = one.answer;
      const found = brief(await ask());
      assert.ok(
        found === one.expected || found.startsWith("web.test: ") && found.includes(one.expected),
        found,
      );
      assert.ok(heard.startsWith("GET /p HTTP/1.1\r\nHost: web.test\r\n"), heard);
    });
  }
  await t.step("a certificate for another name, or of nobody who is trusted", async () => {
    assert.equal(brief(await ask("other.test")), "certificate of other.test: hostname mismatch");
    const nobody = { certificates: [], keys: [] };
    assert.match(brief(await ask("web.test", 5000, nobody)), /^certificate of web.test: /);
  });
  await t.step("RFC 9112 section 6.1: a length and chunks at once are refused", async () => {
    answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n";
    assert.match(brief(await ask()), /unknown transfer coding/);
  });
  await t.step("a server that says nothing", async () => {
    answer = "SILENCE";
    assert.match(brief(await ask("web.test", 300)), /timed out/);
  });
  await t.step("the next address is tried when one is not there", async () => {
    answer = "HTTP/1.1 200 OK\r\n\r\nx";
    const addresses = ["127.0.0.77", "127.0.0.1"];
    const found = await askHttps({
      method: "GET",
      host: "web.test",
      addresses,
      port,
      path: "/",
      anchors,
      timeoutMs: 5000,
      bodyLimit: 9,
    });
    assert.equal(brief(found), "200  x");
  });
  web.close();
});
