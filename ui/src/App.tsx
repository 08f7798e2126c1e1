// Owns: putting the page together: view state, what is scraped, which machine is shown, and the context for
// panels.

import { useEffect, useMemo } from "react";
import { ConnectionBanner } from "./components/ConnectionBanner";
import { DashboardGrid } from "./components/DashboardGrid";
import { Header } from "./components/Header";
import { StatusLine } from "./components/StatusLine";
import { type Dashboard, DashboardContext } from "./state/dashboard";
import { useMachine } from "./state/useMachine";
import { scrapeIntervalMs, useTargets } from "./state/useTargets";
import { changeView, useView } from "./state/viewStore";

export function App() {
  const view = useView();
  const targets = useTargets(view.refreshMs);
  const machine = useMachine(view);
  const target = targets.find(machine.job, machine.instance);

  useEffect(() => {
    document.title = machine.instance === null ? "Skopos" : `${machine.instance} · Skopos`;
  }, [machine.instance]);

  const dashboard = useMemo<Dashboard>(
    () => ({
      range: view.range,
      refreshMs: view.refreshMs,
      machine,
      target,
      scrapeMs: scrapeIntervalMs(target),
      ready: targets.settled,
      setRange: (range) => changeView({ range }, { history: "push" }),
    }),
    [view.range, view.refreshMs, machine, target, targets.settled],
  );

  return (
    <DashboardContext value={dashboard}>
      <Header />
      <ConnectionBanner />
      <DashboardGrid />
      <StatusLine />
    </DashboardContext>
  );
}
