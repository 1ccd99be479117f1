/**
 * The parameters that every transport has: `<transport>_<suffix>`, transport being the name of a service in
 * master.toml. Where one is not set, the parameter for all transports counts.
 *
 * @module
 */
import type { ParameterName, ParameterValue } from "./parameters.ts";

/** The suffixes, and the parameter that counts for transports that do not set theirs. */
export const TRANSPORT_PARAMETERS = {
  delivery_slot_cost: "default_delivery_slot_cost",
  delivery_slot_discount: "default_delivery_slot_discount",
  delivery_slot_loan: "default_delivery_slot_loan",
  destination_concurrency_failed_cohort_limit: "default_destination_concurrency_failed_cohort_limit",
  destination_concurrency_limit: "default_destination_concurrency_limit",
  destination_concurrency_negative_feedback: "default_destination_concurrency_negative_feedback",
  destination_concurrency_positive_feedback: "default_destination_concurrency_positive_feedback",
  destination_rate_delay: "default_destination_rate_delay",
  destination_recipient_limit: "default_destination_recipient_limit",
  extra_recipient_limit: "default_extra_recipient_limit",
  initial_destination_concurrency: "initial_destination_concurrency",
  minimum_delivery_slots: "default_minimum_delivery_slots",
  recipient_limit: "default_recipient_limit",
  recipient_refill_delay: "default_recipient_refill_delay",
  recipient_refill_limit: "default_recipient_refill_limit",
  time_limit: "command_time_limit",
  transport_concurrency_limit: "default_transport_concurrency_limit",
  transport_rate_delay: "default_transport_rate_delay",
} as const satisfies Readonly<Record<string, ParameterName>>;

/** One of the suffixes. */
export type TransportSuffix = keyof typeof TRANSPORT_PARAMETERS;

/** The value type of a suffix. */
export type TransportValue<S extends TransportSuffix> = ParameterValue<(typeof TRANSPORT_PARAMETERS)[S]>;

/** Longest first, so that `smtp_destination_recipient_limit` is no transport "smtp_destination". */
const SUFFIXES = (Object.keys(TRANSPORT_PARAMETERS) as TransportSuffix[]).sort((a, b) => b.length - a.length);

/** The transport and the suffix of a parameter's name, or undefined when it has neither. */
export function splitTransportParameter(
  name: string,
): { readonly transport: string; readonly suffix: TransportSuffix } | undefined {
  const suffix = SUFFIXES.find((candidate) => name.endsWith(`_${candidate}`));
  if (suffix === undefined || name.length === suffix.length + 1) return undefined;
  return { transport: name.slice(0, -suffix.length - 1), suffix };
}

/**
 * The value of a transport's parameter, from the settings that `settingsFor` made.
 *
 * @param settings must have the parameter that counts for all transports
 * @param transport name of the service in master.toml
 */
export function transportParameter<S extends TransportSuffix>(
  settings: { readonly [K in (typeof TRANSPORT_PARAMETERS)[S]]: ParameterValue<K> },
  transport: string,
  suffix: S,
): TransportValue<S> {
  const own = `${transport}_${suffix}`;
  if (Object.hasOwn(settings, own)) {
    return (settings as Readonly<Record<string, unknown>>)[own] as TransportValue<S>;
  }
  return settings[TRANSPORT_PARAMETERS[suffix]] as TransportValue<S>;
}
