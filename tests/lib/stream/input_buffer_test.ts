Deno.test("what is kept stays as it is when its giver uses the memory again", () => {
  const input = new InputBuffer();
  const memory = new TextEncoder().encode("first\r\nsecond");
  input.push(memory);
  assert.equal(input.line(100).kind, "line");
  input.keep();
  memory.fill(0xee);
  assert.equal(new TextDecoder().decode(input.view()), "second");
});
