// Owns: times as chart axes and tooltips write them, in the reader's time zone, 24 hours, day before month.

const two = (n: number): string => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;

function dayText(time: Date): string {
  return `${time.getDate()} ${MONTHS[time.getMonth()] ?? ""}`;
}

export function clockText(timeMs: number): string {
  const time = new Date(timeMs);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** One tick of the time axis; `incrementS` is the distance between ticks in seconds. */
export function axisText(timeS: number, incrementS: number): string {
  const time = new Date(timeS * 1000);
  const midnight = time.getHours() === 0 && time.getMinutes() === 0 && time.getSeconds() === 0;
  if (incrementS >= 86_400 || midnight) return dayText(time);
  const minutes = `${two(time.getHours())}:${two(time.getMinutes())}`;
  return incrementS < 60 ? `${minutes}:${two(time.getSeconds())}` : minutes;
}

/** A point's full time: with its day, so that a screenshot still says when it was. */
export function momentText(timeS: number): string {
  const timeMs = timeS * 1000;
  return `${dayText(new Date(timeMs))} ${clockText(timeMs)}`;
}
