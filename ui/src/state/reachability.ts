// Owns: whether the server answers at present, and since when it does not.
// Never: asks the server; api/client.ts reports every request's end here.

import { useSyncExternalStore } from "react";

export type Reachability =
  | { readonly reachable: true }
  | { readonly reachable: false; readonly sinceMs: number; readonly reason: string };

const REACHABLE: Reachability = { reachable: true };
let current: Reachability = REACHABLE;
const listeners = new Set<() => void>();

function publish(next: Reachability): void {
  current = next;
  for (const listener of listeners) listener();
}

export function noteReachable(): void {
  if (!current.reachable) publish(REACHABLE);
}

export function noteUnreachable(reason: string): void {
  if (!current.reachable && current.reason === reason) return;
  publish({ reachable: false, sinceMs: current.reachable ? Date.now() : current.sinceMs, reason });
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useReachability(): Reachability {
  return useSyncExternalStore(subscribe, () => current);
}
