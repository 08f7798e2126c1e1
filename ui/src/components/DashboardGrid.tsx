// Owns: where the panels stand: values above, charts below, in as many columns as the screen has room for.

import { CHARTS, GAUGES, NUMBERS } from "../panels";
import css from "./DashboardGrid.module.css";
import { Gauge } from "./Gauge";
import { NumberTile } from "./NumberTile";
import { SeriesChart } from "./SeriesChart";

export function DashboardGrid() {
  return (
    <main className={css.main}>
      <div className={css.values}>
        {GAUGES.map((panel) => (
          <Gauge key={panel.title} panel={panel} />
        ))}
        <div className={css.numbers}>
          {NUMBERS.map((panel) => (
            <NumberTile key={panel.title} panel={panel} />
          ))}
        </div>
      </div>
      <div className={css.charts}>
        {CHARTS.map((panel) => (
          <div key={panel.title} className={css.chart} data-columns={panel.columns}>
            <SeriesChart panel={panel} />
          </div>
        ))}
      </div>
    </main>
  );
}
