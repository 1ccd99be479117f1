"""A filter that writes down all that it is told and does what a script says: for tests with Postern and Postfix.

scripted_filter.py SOCKET LOG SCRIPT [space] [rejected]

SCRIPT is a JSON object: what to do, by the greeting name or by the local part of the sender. An entry has for each event
a word (continue, accept, reject, tempfail, discard, skip) or ["reply", code, status, line...], and "edits": a list of
calls made at the end of the message.
"""
import json
import sys

import Milter

SOCKET, LOG, SCRIPT = sys.argv[1:4]
with open(SCRIPT, encoding="utf-8") as file:
    CASES = json.load(file)
WORDS = {
    "continue": Milter.CONTINUE,
    "accept": Milter.ACCEPT,
    "reject": Milter.REJECT,
    "tempfail": Milter.TEMPFAIL,
    "discard": Milter.DISCARD,
    "skip": Milter.SKIP,
}
MACROS = [
    "_", "i", "j", "v", "{daemon_name}", "{daemon_addr}", "{daemon_port}", "{client_addr}", "{client_name}",
    "{client_port}", "{client_ptr}", "{client_connections}", "{mail_addr}", "{mail_host}", "{mail_mailer}",
    "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}", "{auth_type}", "{auth_authen}", "{auth_author}",
    "{tls_version}", "{made_up}",
]


def text(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value.encode("utf-8", "surrogateescape").decode("latin-1") if isinstance(value, str) else value


class Filter(Milter.Base):
    def __init__(self):
        self.case = {}
        self.greeted = {}

    def log(self, event, *data):
        macros = {name: text(value) for name in MACROS if (value := self.getsymval(name)) is not None}
        with open(LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps([event, [text(one) for one in data], macros]) + "\n")

    def do(self, event):
        what = self.case.get(event, "continue")
        if isinstance(what, str):
            return WORDS[what]
        _, code, status, *lines = what
        self.setreply(code, status, *lines)
        return Milter.REJECT if code[0] == "5" else Milter.TEMPFAIL

    def connect(self, name, family, address):
        self.case = CASES.get("connect", {})
        self.log("connect", name, str(family), str(address[0] if isinstance(address, tuple) else address))
        return self.do("connect")

    def hello(self, name):
        self.case = self.greeted = CASES.get(name, {})
        self.log("helo", name)
        return self.do("helo")

    def envfrom(self, sender, *args):
        local = sender.strip("<>").split("@")[0]
        self.case = CASES.get(local, self.greeted)
        self.log("mail", sender, *args)
        return self.do("mail")

    def envrcpt(self, recipient, *args):
        self.log("rcpt", recipient, *args)
        named = "rcpt " + recipient.strip("<>").split("@")[0]
        return self.do(named if named in self.case else "rcpt")

    def data(self):
        self.log("data")
        return self.do("data")

    def header(self, name, value):
        self.log("header", name, value)
        return self.do("header")

    def eoh(self):
        self.log("eoh")
        return self.do("eoh")

    def body(self, chunk):
        self.log("body", chunk)
        return self.do("body")

    def eom(self):
        self.log("eom")
        for name, *args in self.case.get("edits", []):
            if name == "replacebody":
                args = [one.encode("latin-1") for one in args]
            getattr(self, name)(*args)
        return self.do("eom")

    def unknown(self, command):
        self.log("unknown", command)
        return self.do("unknown")

    def abort(self):
        self.log("abort")
        return Milter.CONTINUE

    def close(self):
        self.log("close")
        return Milter.CONTINUE


def main():
    if "space" in sys.argv:
        Milter.header_leading_space(Filter)
    if "rejected" in sys.argv:
        Milter.rejected_recipients(Filter)
    Milter.factory = Filter
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT | Milter.CHGHDRS |
                     Milter.QUARANTINE | Milter.CHGFROM | Milter.ADDRCPT_PAR)
    Milter.runmilter("filter", SOCKET, 60)


main()
