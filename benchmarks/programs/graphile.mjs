// Graphile Worker: producers through its utilities, and workers with the given preset.
import { createRequire } from "node:module";
import { call, stamp } from "./handler.mjs";
import { produce } from "./producer.mjs";

const require = createRequire(`${process.env.BENCH_MODULES}/package.json`);
const { Logger, makeWorkerUtils, run, runMigrations } = require("graphile-worker");
const connectionString = process.env.BENCH_DSN;
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

const taskList = {
  noop: async () => call(),
  stamp: async (payload) => stamp(payload.at),
};

async function work(worker) {
  const preset = { worker: { connectionString, logger, ...JSON.parse(worker) } };
  // Its own handler ends by the signal itself, before the count of calls is written.
  const runner = await run({ preset, taskList, noHandleSignals: true });
  process.once("SIGTERM", () => runner.stop());
  await runner.promise;
  process.exit(0);
}

async function enqueue(args) {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await produce(
    {
      single: (task, payload) => utils.addJob(task, payload),
      many: (task, payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: task, payload }))),
    },
    args,
  );
  await utils.release();
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === "install") await runMigrations({ connectionString, logger });
else if (mode === "work") await work(rest[0]);
else await enqueue([mode, ...rest]);
