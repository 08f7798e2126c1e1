// Owns: one GET of the HTTP API: address, time-out, and the three ways it can end (data, the API's error, no
// server).
// Never: retries; whoever polls decides when to ask again.

import { noteReachable, noteUnreachable } from "../state/reachability";
import { noteServerDate } from "../state/serverClock";
import type { ApiAnswer } from "./types";

const TIMEOUT_MS = 30_000;

/** The server answered and refused: its own words, to be shown as they are. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly type: string;
  readonly status: number;

  constructor(status: number, type: string, message: string) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

/** Nobody answered, or only something in between (a gateway, a server that is still starting). */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}

export type Params = Readonly<Record<string, string | readonly string[]>>;

function address(path: string, params: Params): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of typeof value === "string" ? [value] : value) search.append(name, one);
  }
  const text = search.toString();
  // Relative to the page, so that the page works behind a route prefix.
  return `api/v1/${path}${text === "" ? "" : `?${text}`}`;
}

async function readAnswer<T>(response: Response): Promise<T> {
  const text = await response.text();
  let answer: ApiAnswer<T> | null = null;
  try {
    answer = JSON.parse(text) as ApiAnswer<T>;
  } catch {
    // Not JSON: judged by the status below.
  }
  if (answer?.status === "success") return answer.data;
  if (answer?.status === "error") throw new ApiError(response.status, answer.errorType, answer.error);
  if (response.status >= 502 && response.status <= 504) {
    throw new UnreachableError(`the server answers ${response.status}; it may still be starting`);
  }
  const start = text.trim().slice(0, 120);
  throw new ApiError(response.status, "protocol", `unexpected answer (HTTP ${response.status}): ${start}`);
}

export async function getApi<T>(path: string, params: Params, signal: AbortSignal): Promise<T> {
  try {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const sentAtMs = Date.now();
    const response = await fetch(address(path, params), {
      signal: bounded,
      headers: { accept: "application/json" },
    });
    noteServerDate(response.headers.get("date"), sentAtMs, Date.now());
    const data = await readAnswer<T>(response);
    noteReachable();
    return data;
  } catch (error) {
    if (signal.aborted) throw error;
    if (error instanceof ApiError) {
      noteReachable();
      throw error;
    }
    const reason = error instanceof UnreachableError ? error.message : reasonOf(error);
    noteUnreachable(reason);
    throw new UnreachableError(reason);
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return `no answer within ${TIMEOUT_MS / 1000} s`;
  }
  return "the connection failed";
}
