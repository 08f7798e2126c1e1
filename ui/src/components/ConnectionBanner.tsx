// Owns: the line that says the server does not answer; it goes away by itself when it does again.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { clockText } from "../charts/timeText";
import { type Reachability, useReachability } from "../state/reachability";
import css from "./ConnectionBanner.module.css";
import { AlertIcon } from "./icons";

/** One lost request is not worth a word; this long without an answer is. */
const GRACE_MS = 1_200;

function useLasting(reachability: Reachability): boolean {
  const [lasting, setLasting] = useState(false);
  const { reachable } = reachability;
  useEffect(() => {
    if (reachable) return setLasting(false);
    const timer = setTimeout(() => setLasting(true), GRACE_MS);
    return () => clearTimeout(timer);
  }, [reachable]);
  return lasting;
}

export function ConnectionBanner() {
  const reachability = useReachability();
  const client = useQueryClient();
  const lasting = useLasting(reachability);
  const wasLost = useRef(false);

  useEffect(() => {
    if (reachability.reachable && wasLost.current) void client.refetchQueries({ type: "active" });
    wasLost.current = !reachability.reachable;
  }, [reachability.reachable, client]);

  // The region stands there from the start, so that screen readers hear what comes into it.
  return (
    <div role="status" className={css.region}>
      {!reachability.reachable && lasting && (
        <div className={css.banner} data-testid="unreachable">
          <AlertIcon />
          <span>
            <b>Server not reachable</b> since {clockText(reachability.sinceMs)}: {reachability.reason}. Trying
            again every 3 seconds.
          </span>
        </div>
      )}
    </div>
  );
}
