/** Times in words. */

const STEPS: readonly (readonly [limitS: number, unitS: number, unit: Intl.RelativeTimeFormatUnit])[] = [
  [3600, 60, "minute"],
  [86_400, 3600, "hour"],
  [7 * 86_400, 86_400, "day"],
  [30 * 86_400, 7 * 86_400, "week"],
  [365 * 86_400, 30 * 86_400, "month"],
  [Number.POSITIVE_INFINITY, 365 * 86_400, "year"],
];

/** Of what is to come: 14 days are not "next week". */
const AHEAD: typeof STEPS = [
  [3600, 60, "minute"],
  [86_400, 3600, "hour"],
  [60 * 86_400, 86_400, "day"],
  [365 * 86_400, 30 * 86_400, "month"],
  [Number.POSITIVE_INFINITY, 365 * 86_400, "year"],
];

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "just now", "5 minutes ago", "yesterday"; a time ahead of our clock is "just now". */
export function ago(iso: string, now: number): string {
  const seconds = Math.floor((now - Date.parse(iso)) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return "just now";
  for (const [limit, unitS, unit] of STEPS) {
    if (seconds < limit) return relative.format(-Math.floor(seconds / unitS), unit);
  }
  return "";
}

/** "in 3 days", "tomorrow", "in a minute" for less than one; what is past is "now". */
export function ahead(iso: string, now: number): string {
  const seconds = Math.ceil((Date.parse(iso) - now) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds <= 0) return "now";
  if (seconds < 60) return "in a minute";
  for (const [limit, unitS, unit] of AHEAD) {
    // To the nearest: a moment after somebody chose 90 days they are not two months.
    if (seconds < limit) return relative.format(Math.round(seconds / unitS), unit);
  }
  return "";
}

/** How long the trash still keeps something: "today", "1 day left", "29 days left". */
export function daysLeft(purgeAt: string, now: number): string {
  const days = Math.ceil((Date.parse(purgeAt) - now) / 86_400_000);
  if (!Number.isFinite(days)) return "";
  if (days <= 0) return "goes today";
  return days === 1 ? "1 day left" : `${days} days left`;
}

/** "1 change waiting", "12 changes waiting". */
export function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
