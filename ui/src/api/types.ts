// Owns: the shapes of the HTTP API's answers that the page reads.

export type Labels = Readonly<Record<string, string>>;

/** Unix time in seconds and the value as text, as the API writes a sample. */
export type SamplePair = readonly [number, string];

export interface VectorSample {
  readonly metric: Labels;
  readonly value: SamplePair;
}

export interface MatrixSeries {
  readonly metric: Labels;
  readonly values: readonly SamplePair[];
}

export type QueryData =
  | { readonly resultType: "vector"; readonly result: readonly VectorSample[] }
  | { readonly resultType: "matrix"; readonly result: readonly MatrixSeries[] }
  | { readonly resultType: "scalar"; readonly result: SamplePair }
  | { readonly resultType: "string"; readonly result: SamplePair };

export interface ActiveTarget {
  readonly labels: Labels;
  readonly scrapePool: string;
  readonly scrapeUrl: string;
  readonly lastError: string;
  readonly lastScrape: string;
  readonly health: "up" | "down" | "unknown";
  readonly scrapeInterval?: string;
}

export interface TargetsData {
  readonly activeTargets: readonly ActiveTarget[];
}

export type ApiAnswer<T> =
  | { readonly status: "success"; readonly data: T; readonly warnings?: readonly string[] }
  | { readonly status: "error"; readonly errorType: string; readonly error: string };
