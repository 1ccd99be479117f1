import assert from "node:assert/strict";
import {
  needsUtf8,
  SENDOPT_REQUIRETLS,
  SENDOPT_SMTPUTF8_HEADER,
  SENDOPT_SMTPUTF8_RECIPIENT,
  SENDOPT_SMTPUTF8_REQUESTED,
  SENDOPT_SMTPUTF8_SENDER,
  SENDOPT_TLS_NOT_REQUIRED,
  tlsWish,
} from "../../../lib/mail/send_options.ts";

Deno.test("RFC 6531 section 3.4: SMTPUTF8 goes on only with mail that has something that needs it", () => {
  assert.equal(needsUtf8(0), false);
  assert.equal(needsUtf8(SENDOPT_SMTPUTF8_REQUESTED), false);
  for (const bit of [SENDOPT_SMTPUTF8_HEADER, SENDOPT_SMTPUTF8_SENDER, SENDOPT_SMTPUTF8_RECIPIENT]) {
    assert.equal(needsUtf8(SENDOPT_SMTPUTF8_REQUESTED | bit), true);
    assert.equal(needsUtf8(bit), false);
  }
});

Deno.test("RFC 8689 section 3: REQUIRETLS overrides TLS-Required: no, and each is heard only where it is enabled", () => {
  const both = { requiretls_enable: true, tls_required_enable: true };
  const bits = SENDOPT_REQUIRETLS | SENDOPT_TLS_NOT_REQUIRED;
  assert.equal(tlsWish(bits, both), "required");
  assert.equal(tlsWish(SENDOPT_TLS_NOT_REQUIRED, both), "not required");
  assert.equal(tlsWish(SENDOPT_SMTPUTF8_REQUESTED, both), "none");
  assert.equal(tlsWish(bits, { ...both, requiretls_enable: false }), "not required");
  assert.equal(tlsWish(bits, { requiretls_enable: false, tls_required_enable: false }), "none");
});
