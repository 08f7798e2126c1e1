// Owns: the quiet line at the bottom: the target's health, how often it is scraped, in which time zone times
// are.

import { useQuery } from "@tanstack/react-query";
import { getApi } from "../api/client";
import { humanDuration } from "../lib/duration";
import { useDashboard } from "../state/dashboard";
import { useReachability } from "../state/reachability";
import css from "./StatusLine.module.css";

interface BuildInfo {
  readonly applicationVersion?: string;
}

function useVersion(): string | null {
  const query = useQuery({
    queryKey: ["buildinfo"],
    queryFn: ({ signal }) => getApi<BuildInfo>("status/buildinfo", {}, signal),
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
  return query.data?.applicationVersion ?? null;
}

export function StatusLine() {
  const { target, scrapeMs } = useDashboard();
  const version = useVersion();
  const { reachable } = useReachability();
  const health = reachable ? (target?.health ?? "unknown") : "unknown";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return (
    <footer className={css.line}>
      <span className={css.health} data-health={health} data-testid="target-health">
        <span className={css.dot} aria-hidden="true" />
        {target === null ? "no target known" : `target ${health}`}
      </span>
      {target !== null && <span>scraped every {humanDuration(scrapeMs)}</span>}
      {health === "down" && <span className={css.problem}>{target?.lastError}</span>}
      <span>times in {zone}</span>
      {version !== null && <span className={css.version}>version {version}</span>}
    </footer>
  );
}
