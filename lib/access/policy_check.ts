/**
 * check_policy_service: a policy server's answer is treated like the result of an access table.
 */
// Access
import { accessVerdict } from "./access_action.ts";
import type { ListContext, Row } from "./list_context.ts";
import type { Question, TableEntry, Verdict } from "./policy.ts";

/** Asks the server that the argument names. */
export const askPolicyServer: Row = (context, server) => (question) => ask(context, server, question);

async function ask(context: ListContext, server: string, question: Question): Promise<Verdict> {
  const { services, subject } = context;
  const { settings } = services;
  const warning = (text: string) => services.warning?.(text);
  // Where nobody can be asked, as in a check of the configuration, the administrator's own answer is taken.
  const action = await services.askPolicy?.(server, question) ?? settings.smtpd_policy_service_default_action;
  const entry: TableEntry = { table: server, value: action, place: "" };
  const source = `policy server ${server}`;
  return { ...accessVerdict(action, { settings, subject, question, source, warning }), entry };
}
