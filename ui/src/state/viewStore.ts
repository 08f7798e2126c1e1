// Owns: the view state that lives in the address bar: reading it, changing it, back and forward.
// Never: holds a second copy; the address bar is the state.

import { useSyncExternalStore } from "react";
import { formatView, parseView, type ViewState } from "../lib/viewState";

let search = "";
let view: ViewState = parseView("");
const listeners = new Set<() => void>();

function snapshot(): ViewState {
  if (window.location.search !== search) {
    search = window.location.search;
    view = parseView(search);
  }
  return view;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
  };
}

export interface ChangeOptions {
  /** What the reader chose can be undone with "back"; what the page filled in cannot. */
  readonly history: "push" | "replace";
}

export function changeView(change: Partial<ViewState>, options: ChangeOptions): void {
  const next = formatView({ ...snapshot(), ...change });
  if (next === window.location.search) return;
  const target = `${next}${window.location.hash}`;
  if (options.history === "push") window.history.pushState(null, "", target);
  else window.history.replaceState(null, "", target);
  for (const listener of listeners) listener();
}

export function useView(): ViewState {
  return useSyncExternalStore(subscribe, snapshot);
}
