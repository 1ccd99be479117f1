/**
 * Restriction lists (postfix-map section 5.4): each element is a row of a table, and the first that says OK or
 * REJECT ends its list. What an element says can also be that others stand in its place (a class, or restrictions that a
 * table names), that a later permission or refusal is to be made a delay, or what is done to the message.
 */
// Utility
import type { RESTRICTION_PARAMETERS } from "../config/check_restrictions.ts";
import {
  findRestriction,
  isTableWord,
  type RestrictionName,
  RESTRICTIONS,
  WARN_PREFIX,
} from "../config/restriction_names.ts";
import { splitClasses } from "../config/restriction_classes.ts";
import { asciiLower } from "../vstring/ascii.ts";
// Access
import type { ListContext, Run } from "./list_context.ts";
import {
  type Effect,
  fault,
  type Question,
  type Refusal,
  type Rule,
  type Ruling,
  type Services,
  Standing,
  type Step,
  type TableEntry,
  type Verdict,
} from "./policy.ts";
import { ROWS } from "./restriction_rows.ts";
import { SUBJECT, type Subject } from "./subject.ts";

/** Deepest nesting of classes and of restrictions that tables name, as in Postfix. */
const DEPTH_LIMIT = 100;
/** Results of tables that are kept ready to run. */
const COMPILED_LIMIT = 1000;

/** One element of a list, ready to run. */
interface Element {
  readonly rule: Rule;
  readonly name: string;
  /** Logged instead of refused. */
  readonly warnOnly: boolean;
  readonly run: Run;
  /** What stands behind it is never come to. */
  readonly context: ListContext;
}

/** A parameter that holds a restriction list. */
export type ListParameter = typeof RESTRICTION_PARAMETERS[number];

/** What a list is about, and what a table by itself in it stands for. */
const LISTS: Readonly<Record<ListParameter, readonly [Subject, RestrictionName | undefined]>> = {
  smtpd_client_restrictions: [SUBJECT.client, "check_client_access"],
  smtpd_data_restrictions: [SUBJECT.data, undefined],
  smtpd_end_of_data_restrictions: [SUBJECT.endOfData, undefined],
  smtpd_etrn_restrictions: [SUBJECT.etrn, "check_etrn_access"],
  smtpd_helo_restrictions: [SUBJECT.helo, "check_helo_access"],
  smtpd_recipient_restrictions: [SUBJECT.recipient, "check_recipient_access"],
  smtpd_relay_restrictions: [SUBJECT.recipient, "check_recipient_access"],
  smtpd_sender_restrictions: [SUBJECT.sender, "check_sender_access"],
};

/** A restriction list of one parameter. */
export class RestrictionList {
  readonly #elements: readonly Element[];
  readonly #applies: (question: Question) => boolean;

  constructor(services: Services, parameter: ListParameter, items: readonly string[]) {
    const [subject, tableAccess] = LISTS[parameter];
    const context = { services, parameter, place: services.origin(parameter), subject, tableAccess };
    this.#elements = parseElements(context, items);
    // Without HELO there is nothing that the list could be about.
    this.#applies = parameter === "smtpd_helo_restrictions" ? (question) => question.helo !== "" : () => true;
  }

  get empty(): boolean {
    return this.#elements.length === 0;
  }

  /**
   * Runs the list; gives the refusal with the rule that decided, or undefined when the list permits.
   *
   * @param standing what earlier lists have left behind; what this one leaves is added
   */
  async evaluate(question: Question, standing: Standing = Standing.fresh()): Promise<Ruling> {
    if (this.#elements.length === 0 || !this.#applies(question)) return undefined;
    const outcome = await new Evaluation(question, standing).run(this.#elements, 0, false);
    return outcome.kind === "reject" ? outcome.refusal : undefined;
  }
}

/** How a list, or a part of one, ends. */
type Outcome =
  | { readonly kind: "ok" }
  | { readonly kind: "dunno" }
  | { readonly kind: "reject"; readonly refusal: Refusal };

const ENDS_OK: Outcome = { kind: "ok" };
const ENDS_DUNNO: Outcome = { kind: "dunno" };

/** One list asked once. */
class Evaluation {
  readonly #question: Question;
  readonly #standing: Standing;
  /** What is refused so in the place of a lasting refusal. */
  #deferIfReject: Refusal | undefined;

  constructor(question: Question, standing: Standing) {
    this.#question = question;
    this.#standing = standing;
  }

  /** @param warned a restriction around these is only to warn */
  async run(elements: readonly Element[], depth: number, warned: boolean): Promise<Outcome> {
    const question = this.#question;
    for (const element of elements) {
      if (this.#standing.discarded) return ENDS_DUNNO;
      const answer = element.run(question);
      const verdict = answer instanceof Promise ? await answer : answer;
      if (question.trace !== undefined) question.trace(stepOf(element, verdict, warned));
      if (verdict.kind === "dunno") continue;
      const outcome = await this.#take(element, verdict, depth, warned || element.warnOnly);
      if (outcome.kind !== "dunno") return outcome;
    }
    return ENDS_DUNNO;
  }

  #take(element: Element, verdict: Verdict, depth: number, warned: boolean): Outcome | Promise<Outcome> {
    switch (verdict.kind) {
      case "dunno":
        return ENDS_DUNNO;
      case "ok":
        return this.#permit(element, verdict.entry);
      case "act":
        return this.#act(verdict);
      case "run":
        return this.#runWords(element, verdict, depth, warned);
      case "deferIfReject":
        this.#deferIfReject ??= refusalOf(element, verdict);
        return ENDS_DUNNO;
      case "deferIfPermit":
        if (warned || verdict.now === true) return this.#refuse(refusalOf(element, verdict), warned);
        this.#standing.deferIfPermit ??= refusalOf(element, verdict);
        return ENDS_DUNNO;
      case "reject":
        return this.#refuse(refusalOf(element, verdict), warned && verdict.fault !== true);
      default:
        return verdict satisfies never;
    }
  }

  #permit({ name, context }: Element, entry: TableEntry | undefined): Outcome | Promise<Outcome> {
    const { settings, maps } = context.services;
    if (settings.smtpd_log_access_permit_actions.length === 0) return ENDS_OK;
    return maps.find("smtpd_log_access_permit_actions", "list", name).then((found) => {
      if (found.kind === "found") {
        const subject = context.subject;
        const because = entry === undefined ? "" : ` (${entry.table})`;
        this.#question.note(
          "permit",
          `action=${name}${because} for ${subject.what}=${subject.name(this.#question) ?? ""}`,
        );
      }
      return ENDS_OK;
    });
  }

  #act({ word, text, effect }: Extract<Verdict, { kind: "act" }>): Outcome {
    if (word !== "") this.#question.note(word, text);
    if (effect !== undefined) this.#standing.add(effect);
    return effect?.kind === "discard" ? ENDS_OK : ENDS_DUNNO;
  }

  #refuse(refusal: Refusal, warned: boolean): Outcome {
    if (warned) {
      this.#question.warn(refusal);
      return ENDS_DUNNO;
    }
    const deferred = this.#deferIfReject;
    return {
      kind: "reject",
      refusal: deferred !== undefined && refusal.reply.startsWith("5") ? deferred : refusal,
    };
  }

  #runWords(
    element: Element,
    { words, entry }: Extract<Verdict, { kind: "run" }>,
    depth: number,
    warned: boolean,
  ): Outcome | Promise<Outcome> {
    if (depth >= DEPTH_LIMIT) {
      element.context.services.warning?.(`restriction ${element.rule.text} causes unreasonable recursion`);
      return this.#refuse({ ...refusalOf(element, fault() as Rejecting) }, false);
    }
    return this.run(compiled(element, words, entry), depth + 1, warned);
  }
}

type Rejecting = Extract<Verdict, { readonly reply: string }>;

function refusalOf({ rule }: Element, { reply, entry }: Rejecting): Refusal {
  return { reply, rule, entry };
}

/** What a verdict looks like to those who follow a decision. */
function stepOf({ rule, warnOnly }: Element, verdict: Verdict, warned: boolean): Step {
  const { entry } = verdict;
  const reply = "reply" in verdict ? verdict.reply : undefined;
  const warns = reply !== undefined && (warned || warnOnly) && !(verdict.kind === "reject" && verdict.fault);
  const note = warns ? WARN_PREFIX : noteOf(verdict);
  const outcome = verdict.kind === "ok" || verdict.kind === "reject" ? verdict.kind : "dunno";
  return {
    rule,
    outcome,
    ...(reply === undefined ? {} : { reply }),
    ...(entry === undefined ? {} : { entry }),
    ...(note === undefined ? {} : { note }),
  };
}

function noteOf(verdict: Verdict): string | undefined {
  switch (verdict.kind) {
    case "deferIfPermit":
      return verdict.now === true ? "defer" : "defer_if_permit";
    case "deferIfReject":
      return "defer_if_reject";
    case "act":
      return verdict.effect === undefined ? verdict.word : effectText(verdict.effect);
    case "run":
      return verdict.words.join(" ");
    default:
      return undefined;
  }
}

function effectText(effect: Effect): string {
  return "text" in effect ? `${effect.kind} ${effect.text}` : effect.kind;
}

/** Restrictions that a table names, by the element that looks into it. */
const COMPILED = new WeakMap<Element, Map<string, readonly Element[]>>();

function compiled(
  element: Element,
  words: readonly string[],
  entry: TableEntry | undefined,
): readonly Element[] {
  const known = COMPILED.get(element) ?? new Map<string, readonly Element[]>();
  COMPILED.set(element, known);
  const key = `${entry?.place ?? ""} ${words.join(" ")}`;
  const made = known.get(key) ?? parseElements(innerContext(element, entry), words);
  if (known.size >= COMPILED_LIMIT) known.clear();
  known.set(key, made);
  return made;
}

/** Restrictions in the place of another one are about the same thing. */
function innerContext({ context, rule, name }: Element, entry: TableEntry | undefined): ListContext {
  if (entry === undefined) {
    const place = context.services.origin(name);
    return { ...context, parameter: "smtpd_restriction_classes", place, within: rule };
  }
  return { ...context, place: entry.place || context.place, within: rule };
}

/** @param words the list as the configuration gives it: restrictions, prefixes and tables one by one */
function parseElements(context: ListContext, words: readonly string[]): Element[] {
  const elements: Element[] = [];
  const classes = splitClasses(context.services.settings.smtpd_restriction_classes);
  let warnOnly = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (asciiLower(word) === WARN_PREFIX) {
      warnOnly = true;
      continue;
    }
    // A bare table is looked up with what the list is about.
    const bare = isTableWord(word);
    const name = bare ? context.tableAccess ?? "" : asciiLower(word);
    const restriction = findRestriction(name);
    const inClass = bare || restriction !== undefined ? undefined : classes.get(word);
    const needsArgument = restriction !== undefined && RESTRICTIONS[restriction] !== "none";
    const argument = !needsArgument ? "" : bare ? word : words[++i] ?? "";
    const run = inClass !== undefined
      ? () => ({ kind: "run", words: inClass } as const)
      : restriction === undefined || (needsArgument && argument === "")
      ? unusable(context, word)
      : ROWS[restriction](context, argument);
    const text = argument === "" ? (bare ? word : name) : `${restriction} ${argument}`;
    elements.push({
      rule: ruleOf(context, inClass === undefined ? text : word),
      name: inClass === undefined ? name : word,
      warnOnly,
      run,
      context,
    });
    warnOnly = false;
  }
  return elements;
}

function ruleOf({ parameter, place, within }: ListContext, text: string): Rule {
  return { text, parameter: within?.text ?? parameter, place, ...(within === undefined ? {} : { within }) };
}

/** A word that is no restriction can only come from a table or a policy server: the configuration has been checked. */
function unusable({ services }: ListContext, word: string): Run {
  return () => {
    services.warning?.(`unknown smtpd restriction: "${word}"`);
    return fault();
  };
}
