// Owns: the server's time, estimated from the Date header of its answers, for "now" in queries.
// Never: trusts small differences; the header has whole seconds only.

/** A reader's clock that is off by less than this is taken as right. */
const TOLERATED_MS = 2_000;

let offsetMs = 0;

export function noteServerDate(header: string | null, sentAtMs: number, receivedAtMs: number): void {
  if (header === null) return;
  const servedAtMs = Date.parse(header);
  if (Number.isNaN(servedAtMs)) return;
  // The header is cut to the second: on average the true time is half a second later.
  const measured = servedAtMs + 500 - (sentAtMs + receivedAtMs) / 2;
  offsetMs = Math.abs(measured) > TOLERATED_MS ? Math.round(measured) : 0;
}

export function serverNowMs(): number {
  return Date.now() + offsetMs;
}
