// Calls the client of npm's @prometheus-io/codemirror-promql on the server whose address is given, and prints
// what it got as JSON.
const { HTTPPrometheusClient } = require("@prometheus-io/codemirror-promql/dist/cjs/client/prometheus");

async function main() {
  const failed = [];
  const of = (httpMethod) =>
    new HTTPPrometheusClient({
      url: process.argv[2],
      httpMethod,
      httpErrorHandler: (error) => failed.push(String(error)),
    });
  const answers = {};
  for (const method of ["POST", "GET"]) {
    const client = of(method);
    answers[method] = {
      names: await client.labelNames(),
      jobs: await client.labelValues("job"),
      values: await client.labelValues("x", "a"),
      metrics: await client.metricNames("las"),
      series: (await client.series("a")).length,
      type: (await client.metricMetadata()).h[0].type,
      flags: (await client.flags())["query.timeout"],
    };
  }
  console.log(JSON.stringify({ ...answers, failed }));
}

main();
